import { asOnecertError } from '../base/errors.ts'
import { inLanes } from '../base/lanes.ts'
import type { Placement } from '../fleet/fleet.ts'
import { type Endpoint, endpointsOf } from '../observe/endpoint.ts'
import type { Served, Vantage } from '../observe/served.ts'
import { type Look, lookDirectly } from '../rollout/prober.ts'

/** What one handshake showed. */
export interface Shown {
  readonly served: Served | null
  /** From where it was seen. */
  readonly vantage: Vantage | null
  /** Why there is nothing to see. */
  readonly reason: string | null
}

export interface Looked extends Shown {
  readonly server: string
  readonly endpoint: Endpoint
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

/** One handshake, from here where nothing else is said. @throws the reason of the signal, and nothing else */
export async function lookOnce(
  endpoint: Endpoint,
  signal: AbortSignal,
  look: Look = lookDirectly(signal),
): Promise<Shown> {
  signal.throwIfAborted()
  try {
    return { ...(await look(endpoint, timeoutMs)), reason: null }
  } catch (error) {
    signal.throwIfAborted()
    return { served: null, vantage: null, reason: asOnecertError(error).failure.what }
  }
}
