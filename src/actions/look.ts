import { asOnecertError } from '../base/errors.ts'
import { inLanes } from '../base/lanes.ts'
import type { Placement } from '../fleet/fleet.ts'
import { type Endpoint, endpointsOf } from '../observe/endpoint.ts'
import type { Served, Vantage } from '../observe/served.ts'
import { lookDirectly } from '../rollout/prober.ts'

export interface Looked {
  readonly server: string
  readonly endpoint: Endpoint
  readonly served: Served | null
  /** From where it was seen. */
  readonly vantage: Vantage | null
  /** Why there is nothing to see. */
  readonly reason: string | null
}

/** At once. */
export const parallel = 64
export const timeoutMs = 5_000

/** One handshake from here with each endpoint, `parallel` at a time; servers behind `through-server` are left out. */
export async function lookAtAll(
  placements: readonly Placement[],
  signal: AbortSignal,
  onLooked: (done: number, of: number) => void = () => {},
): Promise<Looked[]> {
  const all = placements
    .filter(({ server }) => server.probe === 'direct')
    .flatMap((placement) => endpointsOf(placement).map((endpoint) => ({ server: placement.server.name, endpoint })))
  const looked: Looked[] = []
  await inLanes(all, parallel, async ({ server, endpoint }) => {
    looked.push({ server, endpoint, ...(await lookOnce(endpoint, signal)) })
    onLooked(looked.length, all.length)
  })
  return looked
}

/** One handshake from here. */
export async function lookOnce(endpoint: Endpoint, signal: AbortSignal): Promise<Omit<Looked, 'server' | 'endpoint'>> {
  signal.throwIfAborted()
  try {
    return { ...(await lookDirectly(signal)(endpoint, timeoutMs)), reason: null }
  } catch (error) {
    signal.throwIfAborted()
    return { served: null, vantage: null, reason: asOnecertError(error).failure.what }
  }
}
