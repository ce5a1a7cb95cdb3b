import type { Certificate, Fleet, KeyKind, Placement } from './fleet.ts'

/** Where a lineage belongs: every server of every site that uses it, in fleet-file order, each once. */
export function placements(fleet: Fleet, certificate: string): Placement[] {
  const sites = [...fleet.sites.values()].filter(({ certificates }) => certificates.includes(certificate))
  const keyKind = sites.some(({ certificates }) => certificates.length > 1)
    ? keyKindOf(fleet.certificates.get(certificate))
    : undefined
  const names = new Map<string, string[]>()
  for (const site of sites) {
    for (const server of site.topology.servers) names.set(server, [...(names.get(server) ?? []), site.name])
  }
  return [...fleet.servers.values()].flatMap((server) => {
    const served = names.get(server.name)
    return served ? [{ server, names: served, ...(keyKind && { keyKind }) }] : []
  })
}

/** The lineages that belong on a server, in fleet-file order. */
export function lineagesOn(fleet: Fleet, server: string): string[] {
  const sites = [...fleet.sites.values()].filter(({ topology }) => topology.servers.includes(server))
  return [...fleet.certificates.keys()].filter((name) => sites.some(({ certificates }) => certificates.includes(name)))
}

function keyKindOf(certificate: Certificate | undefined): KeyKind | undefined {
  return certificate && (certificate.key.type.startsWith('rsa') ? 'rsa' : 'ecdsa')
}
