import { fail, quote } from '../base/errors.ts'
import { canonicalAddress } from '../pki/names.ts'
import { addressType } from './address.ts'
import { endpointOf } from './exchange.ts'
import { plainName } from './message.ts'
import { type RecordSet, recordsAtServer, sendUpdate, type UpdateTarget } from './update.ts'

/** The addresses of one name as the primary of its zone has them. */
export interface PublishedAddresses {
  /** Canonical texts; A before AAAA. */
  readonly addresses: readonly string[]
  /** The largest TTL of both sets; null where there are none. */
  readonly ttlS: number | null
}

export interface ZoneAtPrimary {
  readonly zone: string
  readonly target: UpdateTarget
}

/** Somebody else may change the same name in between. */
const triesMax = 5

/**
 * Reads A and AAAA at the primary.
 * @throws OnecertError DNS_ALIAS, DNS_REFUSED, DNS_TSIG_BAD, DNS_UNREACHABLE, DNS_ANSWER_BAD
 */
export async function publishedAddresses(
  name: string,
  { target }: ZoneAtPrimary,
  signal: AbortSignal,
): Promise<PublishedAddresses> {
  const found: { address: string; ttlS: number }[] = []
  for (const type of ['A', 'AAAA'] as const) {
    const { answers } = await recordsAtServer(name, type, target, signal)
    for (const record of answers) {
      if (record.type === 'CNAME') isAlias(name, plainName(record.data), target)
      if (record.type === type) found.push({ address: canonicalAddress(String(record.data)), ttlS: record.ttl ?? 0 })
    }
  }
  return {
    addresses: found.map(({ address }) => address),
    ttlS: found.length === 0 ? null : Math.max(...found.map(({ ttlS }) => ttlS)),
  }
}

/**
 * Adds one address beside others. A set that is there keeps its TTL: all records of a set have the same one (RFC 2181
 * section 5.2).
 * @throws OnecertError what `publishedAddresses` throws
 */
export async function addAddress(
  name: string,
  address: string,
  ttlS: number,
  at: ZoneAtPrimary,
  signal: AbortSignal,
): Promise<void> {
  const type = addressType(address)
  const { answers } = await recordsAtServer(name, type, at.target, signal)
  const before = answers.find((record) => record.type === type)
  const ttl = (before?.type === type ? before.ttl : undefined) ?? ttlS
  // An address beside an alias would be passed over without a word (RFC 2136 section 3.4.2.2).
  const provided: RecordSet[] = [{ name, type: 'CNAME', values: [] }]
  const record = { name, type, value: address, ttlS: ttl } as const
  if (await sendUpdate({ zone: at.zone, act: 'add', record, provided }, at.target, signal)) return
  isAlias(name, 'another name', at.target)
}

/**
 * Removes one address and no other. That enough are left is checked by the primary itself, in the same moment: it has to
 * have exactly the addresses that it told before.
 * @param keep how many have to be left
 * @returns whether it was there
 * @throws OnecertError DNS_LAST_ADDRESS, and what `publishedAddresses` throws
 */
export async function removeAddress(
  name: string,
  address: string,
  keep: number,
  at: ZoneAtPrimary,
  signal: AbortSignal,
): Promise<boolean> {
  const wanted = canonicalAddress(address)
  for (let tries = 0; tries < triesMax; tries++) {
    const { addresses } = await publishedAddresses(name, at, signal)
    if (!addresses.includes(wanted)) return false
    if (addresses.length - 1 < keep) {
      fail('DNS_LAST_ADDRESS', {
        what: `${wanted} stays in the DNS: without it, ${name} would have ${addresses.length - 1} addresses`,
        fact: `${endpointOf(at.target.server)} has ${addresses.join(', ')}; ${keep} stay always`,
        state: 'nothing was changed in the DNS',
        next: 'add another server first: onecert server add',
      })
    }
    const provided = (['A', 'AAAA'] as const).map((type) => ({
      name,
      type,
      values: addresses.filter((each) => addressType(each) === type),
    }))
    const record = { name, type: addressType(wanted), value: wanted, ttlS: 0 } as const
    if (await sendUpdate({ zone: at.zone, act: 'remove', record, provided }, at.target, signal)) return true
  }
  return fail('DNS_PROVIDER_BUSY', {
    what: `the addresses of ${name} change all the time`,
    fact: `${triesMax} times they were others than a moment before`,
    state: `${wanted} is in the DNS still`,
    next: 'see who else writes them, then run it again',
  })
}

function isAlias(name: string, target: string, { server }: UpdateTarget): never {
  fail('DNS_ALIAS', {
    what: `${name} is an alias: it cannot have addresses of its own`,
    fact: `${endpointOf(server)} has a CNAME record that leads to ${quote(target)}`,
    state: 'nothing was changed in the DNS',
    next: `publish the addresses where it leads, or replace the CNAME record of ${name} by A and AAAA records`,
  })
}
