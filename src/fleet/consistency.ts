import { reportTicketsForNobody, reportUnprovable } from './consistency/certificate.ts'
import { outline } from './consistency/outline.ts'
import { hostNameOf, refer, reportRepeated } from './consistency/reference.ts'
import { reportEmptyLocations, reportSharedAddresses, reportUnfitFiles } from './consistency/server.ts'
import {
  reportOutOfZones,
  reportPair,
  reportProxies,
  reportSitesTwice,
  reportStrangers,
  reportTwoDefaults,
  reportUncovered,
  reportWithoutService,
} from './consistency/site.ts'
import type { Source } from './source.ts'

/** Unknown references, repetitions, names that cannot be proved, sites that their certificate does not cover, files that a service does not read. */
export function reportInconsistencies(source: Source): void {
  const fleet = outline.parse(source.value)
  for (const [name, certificate] of Object.entries(fleet.certificates ?? {})) {
    const path = ['certificates', name]
    const issuers = certificate?.issuer
    for (const [at, each] of [issuers].flat().entries())
      refer(source, 'issuer', each, fleet.issuers, [...path, 'issuer', ...(Array.isArray(issuers) ? [at] : [])])
    reportRepeated(source, certificate?.names.map(hostNameOf) ?? [], [...path, 'names'])
    if (certificate) reportUnprovable(source, name, certificate, fleet)
    if (certificate?.tickets !== undefined) reportTicketsForNobody(source, name, fleet)
  }
  for (const [name, server] of Object.entries(fleet.servers ?? {})) {
    for (const certificate of Object.keys(server?.files ?? {}))
      refer(source, 'certificate', certificate, fleet.certificates, ['servers', name, 'files', certificate])
    if (server) reportUnfitFiles(source, name, server)
  }
  reportEmptyLocations(source, fleet)
  reportSharedAddresses(source, fleet.servers ?? {})
  reportSitesTwice(source, Object.keys(fleet.sites ?? {}))
  reportTwoDefaults(source, fleet)
  for (const [name, site] of Object.entries(fleet.sites ?? {})) {
    const path = ['sites', name]
    const certificates = site?.certificate
    for (const [at, each] of [certificates].flat().entries()) {
      refer(source, 'certificate', each, fleet.certificates, [
        ...path,
        'certificate',
        ...(Array.isArray(certificates) ? [at] : []),
      ])
      reportUncovered(source, name, each, fleet)
    }
    if (Array.isArray(certificates)) reportPair(source, name, certificates, fleet)
    reportStrangers(source, [...path, 'load-balancer'], site?.['load-balancer'])
    for (const [at, servers] of [
      [[...path, 'dns'], site?.dns],
      [[...path, 'load-balancer', 'servers'], site?.['load-balancer']?.servers],
      [[...path, 'reverse-proxy', 'servers'], site?.['reverse-proxy']?.servers],
    ] as const) {
      for (const [index, server] of (servers ?? []).entries())
        refer(source, 'server', server, fleet.servers, [...at, index])
      reportRepeated(source, servers ?? [], at)
      reportWithoutService(source, servers ?? [], at, fleet)
    }
    reportProxies(source, site?.['reverse-proxy'], [...path, 'reverse-proxy'], fleet)
    if (site?.quarantine !== undefined && site.dns.length > 0) reportOutOfZones(source, name, fleet)
  }
}
