import { fail } from '../base/errors.ts'
import { addressType } from '../dns/address.ts'
import {
  addAddress,
  type PublishedAddresses,
  publishedAddresses,
  removeAddress,
  type ZoneAtPrimary,
} from '../dns/addresses.ts'
import { exchangeTimeoutMs } from '../dns/exchange.ts'
import { readTsigKey } from '../dns/key-file.ts'
import { parseNameServer } from '../dns/resolver.ts'
import type { Fleet, Server, Zone } from '../fleet/fleet.ts'
import { sitesOn } from '../fleet/placement.ts'
import { zoneOfSite } from '../fleet/zone.ts'
import { shelf } from '../issue/notes.ts'
import { type DnsFacts, type DnsSight, lookAtDns } from '../observe/dns.ts'
import { canonicalAddress } from '../pki/names.ts'
import type { Context } from './context.ts'

/** A site of topology `dns`, and where its addresses are published; without a zone that is done by hand. */
export interface DnsSite {
  readonly site: string
  readonly zone: Zone | undefined
}

/** When an address left the DNS, and how long others may remember it. */
interface Withdrawal {
  readonly ttlS: number
  /** When no authoritative server showed it any more; null: that was not seen yet. */
  readonly goneAtMs: number | null
}

const pauseMs = 2_000
/** What resolvers keep at most (BIND: max-cache-ttl). */
const ttlSMax = 7 * 86_400

export const withdrawals = ({ store }: Pick<Context, 'store'>) => shelf<Withdrawal>(store, 'withdrawn')
/** One for all addresses of a server: the wait counts from when the last of them was gone. */
export const withdrawalName = (site: string, { address }: Server) => `${site} ${canonicalAddress(address)}`

/** The sites that are to resolve to a server. */
export function dnsSites(fleet: Fleet, server: string): DnsSite[] {
  return sitesOn(fleet, server)
    .filter(({ topology }) => topology.kind === 'dns')
    .map(({ name }) => ({ site: name, zone: zoneOfSite(fleet, name) }))
}

/** The records that a person publishes where we may not. */
export function recordTexts(site: string, { addresses }: Server): string[] {
  return addresses.map((address) => `${site}. ${addressType(address)} ${address}`)
}

export async function addressesOf(context: Context, zone: Zone, site: string): Promise<PublishedAddresses> {
  return publishedAddresses(site, await primaryOf(context, zone), context.signal)
}

/** Adds the addresses of a server at the primary, beside others. @throws OnecertError DNS_* */
export async function publishAddress(context: Context, zone: Zone, site: string, server: Server): Promise<void> {
  const { ledger, signal } = context
  const at = await primaryOf(context, zone)
  for (const address of server.addresses) {
    const fields = { effect: 'publish', site, server: server.name, address } as const
    await ledger.effect(fields, () => addAddress(site, address, zone.ttlS, at, signal))
  }
  await withdrawals(context).remove(withdrawalName(site, server))
}

/**
 * Removes the addresses of a server at the primary, and no other. How long others may remember it is on disk before.
 * @param keep how many addresses have to be left
 * @returns whether one was there
 * @throws OnecertError DNS_LAST_ADDRESS before the first one, DNS_*
 */
export async function withdrawAddress(
  context: Context,
  zone: Zone,
  site: string,
  server: Server,
  { keep, reason }: { readonly keep: number; readonly reason?: string },
): Promise<boolean> {
  const { ledger, signal } = context
  const at = await primaryOf(context, zone)
  const { addresses, ttlS } = await publishedAddresses(site, at, signal)
  const own = canonicalAddresses(server).filter((each) => addresses.includes(each))
  if (own.length === 0) return false
  await noteTtl(context, site, server, ttlS ?? 0)
  let wasThere = false
  for (const [done, address] of own.entries()) {
    const fields = { effect: 'withdraw', site, server: server.name, address, ...(reason && { reason }) } as const
    // Those of its own that go next stay no longer.
    const left = keep + own.length - done - 1
    if (await ledger.effect(fields, () => removeAddress(site, address, left, at, signal))) wasThere = true
  }
  return wasThere
}

function canonicalAddresses({ addresses }: Server): string[] {
  return addresses.map(canonicalAddress)
}

/** The largest one that was seen counts; the time begins anew. */
async function noteTtl(context: Context, site: string, server: Server, ttlS: number): Promise<void> {
  await withdrawals(context).change(withdrawalName(site, server), (before) => ({
    ttlS: Math.min(Math.max(ttlS, before?.ttlS ?? 0), ttlSMax),
    goneAtMs: null,
  }))
}

/**
 * Waits until every authoritative server of a zone shows each address of a server, or none of them.
 * @throws OnecertError DNS_NOT_PROPAGATED with each server that does not, DNS_ZONE_NOT_FOUND, DNS_UNREACHABLE
 */
export async function untilSeen(
  context: Context,
  zone: Zone,
  site: string,
  server: Server,
  wanted: 'shown' | 'gone',
): Promise<void> {
  const { clock, signal, report } = context
  const untilMs = clock.nowMs() + zone.withinMs
  const own = canonicalAddresses(server)
  for (let told = false; ; ) {
    const { sights } = await lookInZone(context, zone, site)
    const authorities = sights.filter(({ as }) => as === 'authority')
    const lacking = authorities.filter(
      (sight) => sight.failure !== null || own.some((address) => shows(sight, address) !== (wanted === 'shown')),
    )
    const countable = lacking.filter((sight) => !sight.noRoute)
    if (countable.length === 0 && lacking.length < authorities.length) break
    if (!told) {
      const names = lacking.map((sight) => sight.server).join(', ')
      report({ kind: 'server', server: server.name, text: `waits for the name servers ${names} of ${site}` })
    }
    told = true
    if (clock.nowMs() + pauseMs > untilMs) {
      const address = own.find((each) => lacking.some((sight) => shows(sight, each) !== (wanted === 'shown'))) ?? ''
      fail('DNS_NOT_PROPAGATED', {
        what: `${lacking.length} of ${authorities.length} name servers of ${site} ${wanted === 'shown' ? 'do not show' : 'may show'} ${address}${wanted === 'shown' ? '' : ' still'}`,
        fact: lacking
          .map((sight) => `${sight.server} (${sight.address}): ${sight.failure ?? addressesText(sight)}`)
          .join('; '),
        state: `waited ${Math.round(zone.withinMs / 1000)} s; the primary has the change`,
        next: `check that each is reached and gets the zone, then run the same command again; see: dig @${lacking[0]?.address} ${site} ${addressType(address)} +norecurse`,
      })
    }
    await clock.sleep(pauseMs, signal)
  }
  if (wanted === 'shown') return
  await withdrawals(context).change(withdrawalName(site, server), (before) =>
    before === null ? null : { ...before, goneAtMs: before.goneAtMs ?? clock.nowMs() },
  )
}

/** Who shows an address of a server: authoritative servers and resolvers, and the largest TTL of it. */
export async function whoShows(
  context: Context,
  { zone, site }: DnsSite,
  server: Server,
): Promise<{ readonly sights: readonly DnsSight[]; readonly ttlS: number }> {
  const own = canonicalAddresses(server)
  const { sights } = await lookInZone(context, zone, site)
  const showing = sights.filter((sight) => own.some((address) => shows(sight, address)))
  const ttls = showing.flatMap(({ addresses }) => addresses.map(({ ttlS }) => ttlS))
  return { sights: showing, ttlS: Math.max(0, ...ttls) }
}

/** Servers that hold the zone of before tell its TTL too. */
export async function noteTtlShown(context: Context, site: DnsSite, server: Server): Promise<void> {
  const { sights, ttlS } = await whoShows(context, site, server)
  // What a resolver remembers is no more than that, and begins no new wait.
  if (sights.some(({ as }) => as === 'authority')) await noteTtl(context, site.site, server, ttlS)
}

function lookInZone({ signal }: Context, zone: Zone | undefined, site: string): Promise<DnsFacts> {
  return lookAtDns(site, { resolvers: zone?.resolvers ?? [], ...(zone && { authoritativePort: zone.port }) }, signal)
}

function shows({ addresses }: DnsSight, address: string): boolean {
  return addresses.some((each) => each.address === address)
}

function addressesText({ addresses, alias }: DnsSight): string {
  if (alias !== null) return `an alias of ${alias}`
  return addresses.length === 0 ? 'no address' : addresses.map(({ address }) => address).join(', ')
}

/** The key is read each time: one that was replaced is used from then on. */
async function primaryOf({ clock }: Context, { name, update }: Zone): Promise<ZoneAtPrimary> {
  const { keyFile: file, keyName, algorithm, server } = update
  const key = await readTsigKey({ file, ...(keyName && { keyName }), ...(algorithm && { algorithm }) })
  return { zone: name, target: { server: parseNameServer(server), key, clock, timeoutMs: exchangeTimeoutMs } }
}
