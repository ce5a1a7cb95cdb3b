import { fail, quote } from '../../base/errors.ts'
import { ancestors } from '../../dns/message.ts'
import { makeResolver, type Resolver } from '../../dns/resolver.ts'
import type { AcmeIssuer } from '../../fleet/fleet.ts'

/** RFC 8659 section 4.1. */
export interface CaaRecord {
  readonly critical: boolean
  /** Lower case. */
  readonly tag: string
  readonly value: string
}

/** The record set that counts for a name, and where it stands; null and empty where there is none. */
export interface CaaFacts {
  readonly at: string | null
  readonly records: readonly CaaRecord[]
}

const criticalBit = 0x80
/** RFC 8659 section 4, RFC 9495, and the registry of CAA properties; a CA knows them, and they do not forbid. */
const knownTags = ['issue', 'issuewild', 'iodef', 'issuemail', 'issuevmc', 'contactemail', 'contactphone']

/**
 * The relevant record set (RFC 8659 section 3): the first one that is not empty, from the name upwards. Aliases are
 * followed by the resolver, the tree of what they lead to is not climbed.
 * @throws OnecertError DNS_UNREACHABLE: a CA must not issue then either
 */
export async function caaFacts(name: string, resolver: Resolver, signal: AbortSignal): Promise<CaaFacts> {
  for (const at of ancestors(name.replace(/^\*\./, ''))) {
    const { answers } = await resolver.lookup(at, 'CAA', signal)
    const records = answers.flatMap((record) => {
      if (record.type !== 'CAA') return []
      const { flags = 0, tag, value } = record.data
      return [{ critical: (flags & criticalBit) !== 0, tag: tag.toLowerCase(), value }]
    })
    if (records.length > 0) return { at, records }
  }
  return { at: null, records: [] }
}

/** Who is asked before the CA is; null where it is a private one, whose names the DNS need not know. */
export function caaResolver({ caFile, dns01, dnsPersist01 }: AcmeIssuer): Resolver | null {
  const dns = dns01 ?? dnsPersist01
  if (caFile !== undefined && dns === undefined) return null
  return makeResolver({ servers: dns?.resolvers ?? [] })
}

/**
 * Null, or why a CA with these issuer domain names must not issue, with the record that says so. A CA that tells no names
 * (RFC 8555 section 9.7.6) is not judged by them. Pure.
 */
export function caaAllows(
  records: readonly CaaRecord[],
  caaIdentities: readonly string[],
  wildcard: boolean,
): string | null {
  const unknown = records.find(({ critical, tag }) => critical && !knownTags.includes(tag))
  // RFC 8659 section 4.1: whoever does not know a critical property must not issue.
  if (unknown) return `${show(unknown)} is critical, and unknown`
  const issuewild = records.filter(({ tag }) => tag === 'issuewild')
  // RFC 8659 section 4.3: for wildcards issuewild counts alone, where there is one.
  const relevant = wildcard && issuewild.length > 0 ? issuewild : records.filter(({ tag }) => tag === 'issue')
  if (relevant.length === 0 || caaIdentities.length === 0) return null
  const wanted = caaIdentities.map((identity) => identity.toLowerCase())
  if (relevant.some((record) => wanted.includes(issuerOf(record)))) return null
  return `${relevant.map(show).join(', ')}: not ${caaIdentities.map((each) => quote(each)).join(' or ')}`
}

/**
 * Asks before the CA does: a refusal there counts against its limits.
 * @throws OnecertError CAA_FORBIDS, DNS_UNREACHABLE
 */
export async function requireCaa(
  name: string,
  caaIdentities: readonly string[],
  resolver: Resolver,
  signal: AbortSignal,
): Promise<void> {
  const { at, records } = await caaFacts(name, resolver, signal)
  const reason = caaAllows(records, caaIdentities, name.startsWith('*.'))
  if (reason === null) return
  const identity = caaIdentities[0] ?? 'the name of the CA'
  fail('CAA_FORBIDS', {
    what: `the DNS forbids this CA to issue for ${name}`,
    fact: `CAA at ${at}: ${reason}`,
    state: 'the CA was not asked',
    next: `add a record such as: ${at} CAA 0 ${name.startsWith('*.') ? 'issuewild' : 'issue'} "${quote(identity)}"`,
  })
}

/** RFC 8659 section 4.2: what stands before the parameters; the empty text lets nobody issue. */
function issuerOf({ value }: CaaRecord): string {
  return (value.split(';')[0] ?? '').trim().toLowerCase()
}

function show({ critical, tag, value }: CaaRecord): string {
  return `${critical ? criticalBit : 0} ${quote(tag)} "${quote(value)}"`
}
