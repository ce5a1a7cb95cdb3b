import { fail, quote } from '../base/errors.ts'
import { ancestors, plainName, sameName } from './message.ts'
import { addressesOf, type Resolver } from './resolver.ts'

/** One address of one name server of a zone. */
export interface AuthoritativeServer {
  readonly name: string
  readonly address: string
}

export interface Authority {
  readonly zone: string
  readonly servers: readonly AuthoritativeServer[]
}

/** The root zone has 13 name servers; more than twice as many are nobody's. */
const serverNamesMax = 32
const addressesMax = 64

/**
 * The zone that a name is in: the nearest one at or above it that has an SOA record.
 * @throws OnecertError DNS_ZONE_NOT_FOUND, DNS_UNREACHABLE
 */
export async function zoneOf(name: string, resolver: Resolver, signal: AbortSignal): Promise<string> {
  for (const candidate of ancestors(name)) {
    const { answers, authorities } = await resolver.lookup(candidate, 'SOA', signal)
    if (answers.some((record) => record.type === 'SOA' && sameName(record.name, candidate))) return candidate
    // An alias is answered from the zone of what it leads to.
    if (answers.length > 0) continue
    // RFC 2308 section 2: a negative answer has the SOA record of the zone with it.
    const soa = authorities.find((record) => record.type === 'SOA')
    const zone = plainName(soa?.name ?? '')
    if (zone !== '' && zone !== '.' && ancestors(candidate).includes(zone)) return zone
  }
  return fail('DNS_ZONE_NOT_FOUND', {
    what: `no zone has the name ${quote(plainName(name))}`,
    fact: 'neither it nor a name above it has an SOA record',
    next: `check the spelling, and that the domain is registered and delegated; see: dig ${quote(plainName(name))} SOA`,
  })
}

/**
 * Every address of every name server of the zone that a name is in.
 * @throws OnecertError DNS_ZONE_NOT_FOUND, DNS_UNREACHABLE
 */
export async function authorityOf(name: string, resolver: Resolver, signal: AbortSignal): Promise<Authority> {
  const zone = await zoneOf(name, resolver, signal)
  const { answers } = await resolver.lookup(zone, 'NS', signal)
  const names = answers.flatMap((record) =>
    record.type === 'NS' && sameName(record.name, zone) ? [plainName(record.data)] : [],
  )
  const chosen = [...new Set(names)].sort().slice(0, serverNamesMax)
  // A name without an address is passed over: resolvers, and so the CA, do the same.
  const servers = (
    await Promise.all(
      chosen.map(async (name) => (await addressesOf(name, resolver, signal)).map((address) => ({ name, address }))),
    )
  ).flat()
  if (servers.length === 0) {
    fail('DNS_UNREACHABLE', {
      what: `no name server of the zone ${zone} has an address`,
      fact:
        chosen.length > 0 ? `its NS records: ${chosen.map((each) => quote(each)).join(', ')}` : 'it has no NS record',
      next: `correct the NS records of ${zone}; see: dig ${zone} NS`,
    })
  }
  return { zone, servers: servers.slice(0, addressesMax) }
}
