import { OnecertError } from '../base/errors.ts'
import { authorityOf } from '../dns/authority.ts'
import { ask, endpointOf, exchangeTimeoutMs, failureFact, type NameServer } from '../dns/exchange.ts'
import { type Message, plainName, rcodeName, sameName } from '../dns/message.ts'
import { dnsPort, makeResolver, nameUnknown, resolverServers } from '../dns/resolver.ts'
import { canonicalAddress } from '../pki/names.ts'

export interface DnsLookSettings {
  /** `address`, `address:port` or `[address]:port`; empty: those of this machine. */
  readonly resolvers: readonly string[]
  /** Where authoritative servers listen; default: 53. Anything else is for laboratories. */
  readonly authoritativePort?: number
  /** Of each try at each server. */
  readonly timeoutMs?: number
}

/** What one name server said of one name. */
export interface DnsSight {
  /** The name that was asked for: the one looked at, or one that an alias led to. */
  readonly name: string
  readonly as: 'authority' | 'resolver'
  /** Its name, or the endpoint of a resolver. */
  readonly server: string
  readonly address: string
  /** Canonical texts, sorted. */
  readonly addresses: readonly ShownAddress[]
  /** Where its answer ends without addresses: the name that its last alias leads to. */
  readonly alias: string | null
  /** Why it told nothing; null: it answered, be it that there is no address. */
  readonly failure: string | null
  /** From here there is no way to an address of its family: nobody can say what it shows. */
  readonly noRoute: boolean
}

export interface ShownAddress {
  readonly address: string
  /** Of a resolver: what is left of it. */
  readonly ttlS: number
}

/** What the DNS says of a name, server by server. */
export interface DnsFacts {
  readonly name: string
  readonly sights: readonly DnsSight[]
}

const namesMax = 8
const aliasesMax = 8
const noRoute = /\b(ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT)\b/

/**
 * All A and AAAA records of a name, asked of every authoritative server of its zone and of each resolver by itself. Where an
 * alias leads into another zone, the servers of that one are asked too.
 * @throws OnecertError DNS_ZONE_NOT_FOUND, DNS_UNREACHABLE where no resolver says which servers are authoritative
 */
export async function lookAtDns(name: string, settings: DnsLookSettings, signal: AbortSignal): Promise<DnsFacts> {
  const { resolvers, authoritativePort: port = dnsPort, timeoutMs = exchangeTimeoutMs } = settings
  const resolver = makeResolver({ servers: resolvers, timeoutMs })
  const sights: DnsSight[] = []
  const names = [plainName(name)]
  for (const asked of names) {
    const { servers } = await authorityOf(asked, resolver, signal)
    const seen = await Promise.all(
      servers.map(({ name: server, address }) =>
        look(asked, 'authority', server, { address, port }, timeoutMs, signal),
      ),
    )
    sights.push(...seen)
    for (const { alias } of seen) {
      if (alias !== null && !names.includes(alias) && names.length < namesMax) names.push(alias)
    }
  }
  const own = resolverServers(resolvers)
  const told = await Promise.all(
    own.map((server) => look(plainName(name), 'resolver', endpointOf(server), server, timeoutMs, signal)),
  )
  return { name: plainName(name), sights: [...sights, ...told] }
}

async function look(
  name: string,
  as: DnsSight['as'],
  server: string,
  at: NameServer,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<DnsSight> {
  const sight = { name, as, server, address: at.address }
  try {
    const answers = await Promise.all(
      (['A', 'AAAA'] as const).map((type) =>
        ask(at, { name, type, recursive: as === 'resolver' }, { timeoutMs, signal }),
      ),
    )
    for (const answer of answers) {
      const refusal = refused(answer, as)
      if (refusal !== null) return { ...sight, addresses: [], alias: null, failure: refusal, noRoute: false }
    }
    const ends = answers.map((answer) => endOf(name, answer))
    const addresses = ends.flatMap((end) => end.addresses)
    return {
      ...sight,
      addresses: addresses.toSorted((left, right) => (left.address < right.address ? -1 : 1)),
      alias: addresses.length > 0 ? null : (ends.find(({ alias }) => alias !== null)?.alias ?? null),
      failure: null,
      noRoute: false,
    }
  } catch (error) {
    if (!(error instanceof OnecertError)) throw error
    const fact = failureFact(error)
    const failure = error.code === 'DNS_UNREACHABLE' ? `no answer at ${endpointOf(at)}: ${fact}` : fact
    return { ...sight, addresses: [], alias: null, failure, noRoute: noRoute.test(fact) }
  }
}

/** Why an answer tells nothing; null: it does. */
export function refused({ rcode, authoritative }: Message, as: DnsSight['as']): string | null {
  if (rcode !== 0 && rcode !== nameUnknown) return `it says ${rcodeName(rcode)}`
  // RFC 1035 section 4.1.1: without AA it speaks from a cache, or for a zone that it does not have.
  return as === 'authority' && !authoritative ? `not authoritative for it (${rcodeName(rcode)}, no AA)` : null
}

/** Follows the aliases of one answer to its addresses, or to where it ends. */
function endOf(name: string, { answers }: Message): { addresses: ShownAddress[]; alias: string | null } {
  let current = name
  for (let followed = 0; followed < aliasesMax; followed++) {
    const alias = answers.find((record) => record.type === 'CNAME' && sameName(record.name, current))
    if (alias?.type !== 'CNAME') break
    current = plainName(alias.data)
  }
  const addresses = answers.flatMap((record) =>
    (record.type === 'A' || record.type === 'AAAA') && sameName(record.name, current)
      ? [{ address: canonicalAddress(record.data), ttlS: record.ttl ?? 0 }]
      : [],
  )
  return { addresses, alias: current === name ? null : current }
}
