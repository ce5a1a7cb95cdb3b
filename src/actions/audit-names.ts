import { judgeDns } from '../audit/dns.ts'
import { type Finding, finding } from '../audit/finding.ts'
import type { EndpointSeen } from '../audit/served.ts'
import { type Subject, subject } from '../audit/subject.ts'
import { judgeTlsa } from '../audit/tlsa.ts'
import { asOnecertError } from '../base/errors.ts'
import type { Certificate, Site } from '../fleet/fleet.ts'
import { serversOf } from '../fleet/placement.ts'
import { zoneOfSite } from '../fleet/zone.ts'
import { lookAtDns } from '../observe/dns.ts'
import { probedName } from '../observe/endpoint.ts'
import { lookAtTlsa, tlsaName } from '../observe/tlsa.ts'
import { canonicalAddress, isPublicName } from '../pki/names.ts'
import type { Context } from './context.ts'
import { quarantineOf } from './quarantine.ts'

/**
 * What the DNS says of the names of a certificate: the addresses of sites whose servers it leads to, and the TLSA records of
 * what is served. A name of a private suffix is looked at only where the fleet file has its zone.
 * @param certificates all that the audit looks at: the addresses of a site with two of them are told of once
 */
export async function auditNames(
  context: Context,
  { name: certificate }: Certificate,
  certificates: readonly Certificate[],
  looked: readonly EndpointSeen[],
): Promise<Subject[]> {
  const { fleet, signal } = context
  const subjects: Subject[] = []
  for (const site of fleet.sites.values()) {
    if (!site.certificates.includes(certificate)) continue
    const zone = zoneOfSite(fleet, site.name)
    const isFirst = certificates.find(({ name }) => site.certificates.includes(name))?.name === certificate
    const own = isFirst ? await ownAddresses(context, site) : []
    const name = probedName(site.name)
    if (!zone && !isPublicName(name)) continue
    const settings = { resolvers: zone?.resolvers ?? [], ...(zone && { authoritativePort: zone.port }) }
    const base = { certificate, site: site.name }
    const ports = Map.groupBy(
      looked.filter(({ endpoint }) => endpoint.name === site.name),
      ({ endpoint }) => endpoint.port,
    )
    const findings: Finding[] = []
    try {
      if (own.length > 0)
        findings.push(...judgeDns(certificate, site.name, own, await lookAtDns(name, settings, signal)))
      for (const [port, seen] of ports) {
        const sights = await lookAtTlsa(name, port, settings, signal)
        findings.push(...judgeTlsa(certificate, tlsaName(name, port), sights, seen))
      }
    } catch (error) {
      signal.throwIfAborted()
      findings.push(
        finding('unreachable', {
          ...base,
          what: `the DNS could not be asked: ${asOnecertError(error).failure.what}`,
          repair: 'onecert audit, when the name servers answer',
        }),
      )
    }
    subjects.push(subject('dns', { ...base, findings }))
  }
  return subjects
}

/** A proxy's name leads to whichever of them is active, and perhaps to an address that moves: that is not ours to judge. */
async function ownAddresses(context: Context, site: Site) {
  const { name, topology } = site
  if (topology.kind === 'reverse-proxy') return []
  if (topology.kind === 'load-balancer')
    return [{ server: null, address: canonicalAddress(topology.address), quarantined: false }]
  const own = await Promise.all(
    serversOf(context.fleet, site).map(async (server) => {
      const quarantined = (await quarantineOf(context, name, server.name)) !== null
      return server.addresses.map((each) => ({ server: server.name, address: canonicalAddress(each), quarantined }))
    }),
  )
  return own.flat()
}
