import type { BalancerControl, Certificate, Fleet, KeyKind, Placement, Server, Site } from './fleet.ts'

/** The sites that a server serves, in fleet-file order. */
export function sitesOn({ sites }: Pick<Fleet, 'sites'>, server: string): Site[] {
  return [...sites.values()].filter(({ topology }) => topology.servers.includes(server))
}

/** The servers of a site, in its order. */
export function serversOf({ servers }: Pick<Fleet, 'servers'>, { topology }: Site): Server[] {
  return topology.servers.flatMap((name) => servers.get(name) ?? [])
}

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
    const withoutSni = sites.some((site) => site.withoutSni && site.topology.servers.includes(server.name))
    return served ? [{ server, names: served, ...(withoutSni && { withoutSni }), ...(keyKind && { keyKind }) }] : []
  })
}

/** The lineages that belong on a server, in fleet-file order. */
export function lineagesOn(fleet: Fleet, server: string): string[] {
  const sites = sitesOn(fleet, server)
  return [...fleet.certificates.keys()].filter((name) => sites.some(({ certificates }) => certificates.includes(name)))
}

/** A server as one of its balancers knows it. */
export interface Membership {
  readonly site: string
  readonly control: BalancerControl
  /** HAProxy's name of the server. */
  readonly member: string
}

/** Where a server gets its connections from balancers that can be told, in fleet-file order: sites may share a backend. */
export function membershipsOf(fleet: Fleet, server: string): Membership[] {
  const found = new Map<string, Membership>()
  for (const { name: site, topology } of fleet.sites.values()) {
    for (const control of topology.kind === 'load-balancer' ? topology.controls : []) {
      const member = control.members.get(server)
      const key = JSON.stringify([control.reach, control.socket, control.backend, member])
      if (member !== undefined && !found.has(key)) found.set(key, { site, control, member })
    }
  }
  return [...found.values()]
}

function keyKindOf(certificate: Certificate | undefined): KeyKind | undefined {
  return certificate && (certificate.key.type.startsWith('rsa') ? 'rsa' : 'ecdsa')
}
