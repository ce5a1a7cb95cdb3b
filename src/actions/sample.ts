import { asOnecertError } from '../base/errors.ts'
import { inLanes } from '../base/lanes.ts'
import type { LoadBalancerTopology } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { lookDirectly } from '../rollout/prober.ts'
import { countSample, type Sample, sampleSize } from '../rollout/sample.ts'
import type { Context } from './context.ts'

/** A balancer, as its clients see it. */
export interface Sampled {
  readonly site: string
  readonly address: string
  readonly port: number
  readonly sample: Sample
}

const parallel = 8
const timeoutMs = 5_000

/** Fresh connections through each balancer of a lineage: no member may serve something else, known or not. */
export async function sampleBalancers(
  { fleet, signal }: Context,
  lineage: string,
  chain: readonly string[] | null,
): Promise<Sampled[]> {
  const keyKind = placements(fleet, lineage)[0]?.keyKind
  const sampled: Sampled[] = []
  for (const { name: site, certificates, topology } of fleet.sites.values()) {
    if (topology.kind !== 'load-balancer' || !certificates.includes(lineage)) continue
    const { address, port } = topology
    const endpoint = { ...endpointAt(topology, site), ...(keyKind && { keyKind }) }
    const look = lookDirectly(signal)
    const looks: { readonly chain: readonly string[] | null; readonly failure: string | null }[] = []
    const turns = Array.from({ length: sampleSize(topology.servers.length) }, (_, at) => at)
    await inLanes(turns, parallel, async () => {
      signal.throwIfAborted()
      looks.push(
        await look(endpoint, timeoutMs).then(
          ({ served }) => ({ chain: served.chain, failure: null }),
          (error: unknown) => ({ chain: null, failure: asOnecertError(error).failure.what }),
        ),
      )
    })
    signal.throwIfAborted()
    sampled.push({ site, address, port, sample: countSample(looks, chain && { chain }) })
  }
  return sampled
}

function endpointAt({ address, port, proxyProtocol }: LoadBalancerTopology, name: string) {
  return { address, port, name, ...(proxyProtocol && { proxyProtocol }) }
}
