import { inLanes } from '../base/lanes.ts'
import { endpointOf } from '../dns/exchange.ts'
import type { LoadBalancerTopology } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import type { Endpoint } from '../observe/endpoint.ts'
import { countSample, type Sample, type SampleLook, sampleSize } from '../rollout/sample.ts'
import type { Context } from './context.ts'
import { lookOnce } from './look.ts'

/** A balancer, as its clients see it. */
export interface Sampled {
  readonly site: string
  /** Sent as SNI; empty: none was. */
  readonly name: string
  readonly address: string
  readonly port: number
  readonly sample: Sample
}

/** Where it was looked, for people. */
export function sampledAt({ address, port, name }: Sampled): string {
  return `${endpointOf({ address, port })}${name === '' ? ' (no name)' : ''}`
}

const parallel = 8

/** Fresh connections through each balancer of a lineage: no member may serve something else, known or not. */
export async function sampleBalancers(
  { fleet, signal }: Context,
  lineage: string,
  chain: readonly string[] | null,
): Promise<Sampled[]> {
  const keyKind = placements(fleet, lineage)[0]?.keyKind
  const sampled: Sampled[] = []
  for (const { name: site, certificates, withoutSni, topology } of fleet.sites.values()) {
    if (topology.kind !== 'load-balancer' || !certificates.includes(lineage)) continue
    const { address, port } = topology
    for (const name of [site, ...(withoutSni ? [''] : [])]) {
      const endpoint = { ...endpointAt(topology, name), ...(keyKind && { keyKind }) }
      const looks = await looksAt(endpoint, sampleSize(topology.servers.length), signal)
      sampled.push({ site, name, address, port, sample: countSample(looks, chain && { chain }) })
    }
  }
  return sampled
}

async function looksAt(endpoint: Endpoint, size: number, signal: AbortSignal): Promise<SampleLook[]> {
  const looks: SampleLook[] = []
  const turns = Array.from({ length: size }, (_, at) => at)
  await inLanes(turns, parallel, async () => {
    const { served, reason } = await lookOnce(endpoint, signal)
    looks.push({ chain: served?.chain ?? null, failure: reason })
  })
  return looks
}

function endpointAt({ address, port, proxyProtocol }: LoadBalancerTopology, name: string): Endpoint {
  return { address, port, name, ...(proxyProtocol && { proxyProtocol }) }
}
