import type { Clock } from '../base/clock.ts'
import { asOnecertError, OnecertError } from '../base/errors.ts'
import { type Endpoint, endpointText } from '../observe/endpoint.ts'
import { servedWrong, type Vantage } from '../observe/served.ts'
import type { Generation } from './generation.ts'
import type { Look } from './prober.ts'

export interface VerifyLimits {
  /** Right handshakes in a row, at each endpoint. */
  readonly inARow: number
  /** Between them. */
  readonly apartMs: number
  readonly withinMs: number
  readonly handshakeTimeoutMs: number
}

/**
 * After the reload of nginx has returned, its old workers go on for up to 105 ms, and take some of the new connections: so
 * a single right handshake shows little, and five at once not much more.
 */
export const verifyLimits: VerifyLimits = { inARow: 5, apartMs: 40, withinMs: 30_000, handshakeTimeoutMs: 5_000 }

const pauseMs = 50

/**
 * Fresh handshakes with each endpoint until so many in a row show the generation, leaf and chain.
 * @param before leaf fingerprints that were served before, by endpoint: to tell an old certificate from a foreign one
 * @param onServed called when each endpoint has shown it for the first time
 * @returns from where it was proved; the weakest vantage of all
 * @throws OnecertError VERIFY_*: the last thing that was seen
 */
export async function verify(
  endpoints: readonly Endpoint[],
  generation: Pick<Generation, 'chain'>,
  look: Look,
  clock: Clock,
  limits: VerifyLimits,
  before: ReadonlyMap<string, string> = new Map(),
  onServed: () => void = () => {},
): Promise<Vantage> {
  const until = clock.nowMs() + limits.withinMs
  const unserved = new Set(endpoints)
  const vantages = await Promise.all(
    endpoints.map((endpoint) =>
      verifyOne(endpoint, generation, look, clock, until, limits, before.get(endpointText(endpoint)), () => {
        if (unserved.delete(endpoint) && unserved.size === 0) onServed()
      }),
    ),
  )
  return (['on-server', 'forwarded'] as const).find((each) => vantages.includes(each)) ?? 'direct'
}

async function verifyOne(
  endpoint: Endpoint,
  generation: Pick<Generation, 'chain'>,
  look: Look,
  clock: Clock,
  untilMs: number,
  limits: VerifyLimits,
  before: string | undefined,
  onRight: () => void,
): Promise<Vantage> {
  let right = 0
  for (;;) {
    let seen: OnecertError
    try {
      const { served, vantage } = await look(endpoint, limits.handshakeTimeoutMs)
      const wrong = servedWrong(served.chain, generation)
      if (wrong === null) {
        right += 1
        onRight()
        if (right >= limits.inARow) return vantage
        await clock.sleep(limits.apartMs)
        continue
      }
      const [leaf] = served.chain
      const code =
        leaf === generation.chain[0]
          ? 'VERIFY_WRONG_CHAIN'
          : leaf === before
            ? 'VERIFY_OLD_CERTIFICATE'
            : 'VERIFY_WRONG_CERTIFICATE'
      seen = new OnecertError(code, {
        what: `${endpointText(endpoint)} ${wrong}`,
        fact: `seen in its last handshake within ${limits.withinMs / 1000} s`,
      })
    } catch (error) {
      const reason = asOnecertError(error)
      seen = new OnecertError('VERIFY_UNREACHABLE', { ...reason.failure, cause: reason })
    }
    right = 0
    if (clock.nowMs() >= untilMs) throw seen
    await clock.sleep(pauseMs)
  }
}
