import { type CaaFacts, caaAllows } from '../issue/dns/caa.ts'
import { type Finding, finding } from './finding.ts'

/** A CA that a lineage gets its certificates from. */
export interface CaaIssuer {
  /** As the fleet file names it. */
  readonly name: string
  /** Issuer domain names that it takes in CAA records (RFC 8555 section 9.7.6). */
  readonly identities: readonly string[]
  /** It is asked only while those before it are down. */
  readonly standsIn: boolean
}

/** Whether the CAA records that count for a name let the CA issue again. Pure. */
export function judgeCaa(certificate: string, name: string, issuer: CaaIssuer, { at, records }: CaaFacts): Finding[] {
  const wildcard = name.startsWith('*.')
  const reason = caaAllows(records, issuer.identities, wildcard)
  if (reason === null) return []
  return [
    finding('caa-forbids', {
      certificate,
      site: name,
      place: `${issuer.name} ${at}`,
      what: `the DNS forbids ${issuer.name} to issue for ${name}: ${issuer.standsIn ? 'it cannot take over from the CA before it' : 'the next renewal fails'}`,
      expected: issuer.identities.join(' or ') || null,
      served: `CAA at ${at}: ${reason}`,
      repair: `add a record such as: ${at} CAA 0 ${wildcard ? 'issuewild' : 'issue'} "${issuer.identities[0] ?? 'the name of the CA'}"`,
    }),
  ]
}
