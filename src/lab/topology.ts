import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { claimPorts, manyLoopbacks } from './ports.ts'

export interface Place {
  readonly address: string
  readonly port: number
}

export const labSites = { dns: 'www.lab.example', balanced: 'shop.lab.example', proxied: 'app.lab.example' } as const

const plan = [
  { name: 'eu-1', location: 'frankfurt' },
  { name: 'us-1', location: 'ashburn' },
  { name: 'ap-1', location: 'singapore' },
  { name: 'web-1', location: 'cluster' },
  { name: 'web-2', location: 'cluster' },
  { name: 'web-3', location: 'cluster' },
  { name: 'edge', location: 'proxy' },
] as const

/** A server that holds a copy, before anything runs there. */
export interface Spot extends Place {
  readonly name: string
  readonly location: string
  readonly directory: string
  /** For its sshd, where it has one. */
  readonly sshPort: number
}

/** Where everything of the three topologies has its place. */
export interface Ground extends AsyncDisposable {
  readonly servers: readonly Spot[]
  readonly balancer: Place
  readonly upstream: Place
  readonly names: Place
}

/** Chooses addresses and ports, and makes the directories of the servers. */
export async function layOut(directory: string): Promise<Ground> {
  const count = plan.length + 3
  const address = (at: number) => (manyLoopbacks ? `127.7.0.${at + 11}` : '127.0.0.1')
  const offset = (at: number) => (manyLoopbacks ? 0 : at)
  const sshOffset = (at: number) => (manyLoopbacks ? 1 : count + at)
  const claim = await claimPorts(
    { address: manyLoopbacks ? '127.7.0.10' : '127.0.0.1', offset: 31 },
    Array.from({ length: count }, (_, at) => [
      { address: address(at), offset: offset(at) },
      { address: address(at), offset: sshOffset(at) },
    ]).flat(),
  )
  const place = (at: number): Place => ({ address: address(at), port: claim.base + offset(at) })
  const servers = plan.map((each, at): Spot => {
    const home = join(directory, 'servers', each.name)
    return { ...each, ...place(at), directory: home, sshPort: claim.base + sshOffset(at) }
  })
  for (const server of servers) await mkdir(server.directory, { recursive: true })
  return {
    servers,
    balancer: place(plan.length),
    upstream: place(plan.length + 1),
    names: place(plan.length + 2),
    [Symbol.asyncDispose]: () => claim[Symbol.asyncDispose](),
  }
}

/** The members of the cluster and the servers that DNS names, in the order of the plan. */
export function balanced({ servers }: Pick<Ground, 'servers'>): readonly Spot[] {
  return servers.slice(3, 6)
}

export function namedByDns({ servers }: Pick<Ground, 'servers'>): readonly Spot[] {
  return servers.slice(0, 3)
}

/**
 * The fleet file. `entry`: how a server is reached and what serves there, as lines of its mapping; `control`: how the
 * balancer is told.
 */
export function fleetText(ground: Ground, entry: (server: Spot) => readonly string[], control?: string): string {
  const { servers, balancer, upstream } = ground
  const lines = servers.map((server) => {
    const { name, location, address, port, directory } = server
    const where = `address: ${address}, port: ${port}, location: ${location}, directory: ${directory}`
    return `  ${name}:\n    { ${[where, ...entry(server)].join(',\n      ')} }`
  })
  const list = (some: readonly Spot[]) => some.map(({ name }) => name).join(', ')
  return `# The fleet file of the demo: three topologies, one certificate.
version: 1
issuers:
  lab: { local-ca: { common-name: Lab, lifetime: 30d } }
certificates:
  www:
    names: [${Object.values(labSites).join(', ')}]
    issuer: lab
    key: { type: ec-p256, keep-for: 180d }
    licence: { servers: 10 }
servers:
${lines.join('\n')}
sites:
  ${labSites.dns}:  { certificate: www, dns: [${list(namedByDns(ground))}] }
  ${labSites.balanced}: { certificate: www, load-balancer: { address: ${balancer.address}, port: ${balancer.port}, servers: [${list(balanced(ground))}]${
    control === undefined
      ? ''
      : `,
      control: ${control}`
  } } }
  ${labSites.proxied}:  { certificate: www, reverse-proxy: { servers: [edge], upstreams: ["http://${upstream.address}:${upstream.port}"] } }
rollout: { canary: 1, wave: 50%, confirm-within: 20s }
`
}
