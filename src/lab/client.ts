import { Resolver } from 'node:dns/promises'
import { request } from 'node:https'
import type { Lab } from './lab.ts'
import { labSites, type Place } from './topology.ts'

/** What a client saw: who answered, with a certificate that it trusts. */
export interface Visit {
  readonly site: string
  readonly place: Place
  readonly answer: string
}

const timeoutMs = 5_000
const balancedVisits = 6

/** Goes to the three sites as clients do, trusting nothing but the root of the lab's CA. */
export async function visitAll(lab: Lab, root: string): Promise<Visit[]> {
  const resolver = new Resolver({ timeout: timeoutMs, tries: 1 })
  resolver.setServers([`${lab.names.address}:${lab.names.port}`])
  const byName = await resolver.resolve4(labSites.dns)
  const port = (address: string) => lab.servers.find((server) => server.address === address)?.port ?? 0
  const edge = lab.servers.find(({ name }) => name === 'edge')
  // Where all servers share one address, the name alone cannot tell them apart: each is visited at its port.
  const [first] = byName
  const dns = byName.every((each) => each === first)
    ? lab.servers.slice(0, byName.length)
    : byName.map((address) => ({ address, port: port(address) }))
  return [
    ...(await Promise.all(dns.map((place) => visit(labSites.dns, place, root)))),
    ...(await Promise.all(Array.from({ length: balancedVisits }, () => visit(labSites.balanced, lab.balancer, root)))),
    ...(edge ? [await visit(labSites.proxied, edge, root)] : []),
  ]
}

function visit(site: string, { address, port }: Place, root: string): Promise<Visit> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      { host: address, port, servername: site, headers: { host: site }, ca: root, agent: false, timeout: timeoutMs },
      (incoming) => {
        let text = ''
        incoming.setEncoding('utf8')
        incoming.on('data', (chunk: string) => {
          text += chunk
        })
        incoming.on('end', () => {
          const via = incoming.headers.via ? `${incoming.headers.via} → ` : ''
          resolve({ site, place: { address, port }, answer: via + text.trim().replace(` for ${site}`, '') })
        })
      },
    )
    outgoing.on('timeout', () => outgoing.destroy(new Error(`${site} at ${address}:${port} does not answer`)))
    outgoing.on('error', reject)
    outgoing.end()
  })
}
