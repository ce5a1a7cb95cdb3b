import type { DnsFacts } from '../observe/dns.ts'
import { type Finding, finding } from './finding.ts'

/** An address that a name is to resolve to. */
export interface OwnAddress {
  /** null: it is the balancer of the site. */
  readonly server: string | null
  /** Canonical text. */
  readonly address: string
  /** Taken out of the DNS by us, for a while. */
  readonly quarantined: boolean
}

/** What the authoritative name servers show of a site against the servers that it has. Pure. */
export function judgeDns(
  certificate: string,
  site: string,
  own: readonly OwnAddress[],
  { sights }: DnsFacts,
): Finding[] {
  const told = sights.filter(({ as, failure, alias }) => as === 'authority' && failure === null && alias === null)
  const findings: Finding[] = []
  const silent = sights.filter(({ as, failure, noRoute }) => as === 'authority' && failure !== null && !noRoute)
  for (const { server, failure } of silent) {
    findings.push(
      finding('unreachable', {
        certificate,
        site,
        place: server,
        what: `a name server of ${site} tells nothing: ${failure}`,
        repair: 'look at the name server; then: onecert audit',
      }),
    )
  }
  if (told.length === 0 && silent.length === 0) {
    const why = sights.some(({ as, noRoute }) => as === 'authority' && !noRoute)
      ? 'its aliases lead nowhere'
      : 'from here there is no way to any of its name servers'
    return [
      finding('unreachable', {
        certificate,
        site,
        what: `where ${site} leads could not be seen: ${why}`,
        repair: `see: dig ${site}; then: onecert audit`,
      }),
    ]
  }
  if (told.length === 0) return findings
  const shown = new Map<string, string[]>()
  for (const { server, addresses } of told)
    for (const { address } of addresses) shown.set(address, [...(shown.get(address) ?? []), server])
  const expected = own.map(({ server, address }) => `${server ?? 'the balancer'} ${address}`).join(', ')
  for (const [address, by] of shown) {
    if (own.some((each) => each.address === address)) continue
    findings.push(
      finding('address-not-ours', {
        certificate,
        site,
        place: address,
        what: `${site} resolves to an address that no server of the site has in the fleet file: what is served there, nobody looks at`,
        expected,
        served: `${address}, shown by ${by.join(', ')}`,
        repair: `take the address out of the zone, or: onecert server add NAME --address ${address} --site ${site} …`,
      }),
    )
  }
  for (const { server, address, quarantined } of own) {
    const by = shown.get(address) ?? []
    if (by.length === told.length || quarantined) continue
    const lacking = told.filter(({ server: at }) => !by.includes(at)).map(({ server: at }) => at)
    findings.push(
      finding(by.length === 0 ? 'address-missing' : 'name-servers-differ', {
        certificate,
        server,
        site,
        place: address,
        what:
          by.length === 0
            ? `${site} does not resolve to ${server === null ? 'its balancer' : 'this server'}`
            : `some name servers show the address of ${server === null ? 'the balancer' : 'this server'}, and some do not`,
        expected: address,
        served: `not shown by ${lacking.join(', ')}`,
        repair:
          by.length === 0
            ? server === null
              ? `publish the address of the balancer, ${address}, in the zone; then: onecert audit`
              : `publish it: onecert server add ${server} --site ${site}; or take the server out of the site`
            : `look at the transfers of the zone to ${lacking.join(', ')}`,
      }),
    )
  }
  return findings
}
