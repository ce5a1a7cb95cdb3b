import type { ErrorCode } from '../base/catalogue.ts'
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
  const untilMs = clock.nowMs() + limits.withinMs
  const unserved = new Set(endpoints)

  /** Why one look is not what it should be, or from where it was. */
  async function lookOnce(endpoint: Endpoint): Promise<Vantage | OnecertError> {
    try {
      const { served, vantage } = await look(endpoint, limits.handshakeTimeoutMs)
      const wrong = servedWrong(served.chain, generation)
      if (wrong === null) return vantage
      return new OnecertError(codeFor(served.chain[0], generation, before.get(endpointText(endpoint))), {
        what: `${endpointText(endpoint)} ${wrong}`,
        fact: `seen in its last handshake within ${limits.withinMs / 1000} s`,
      })
    } catch (error) {
      const reason = asOnecertError(error)
      return new OnecertError('VERIFY_UNREACHABLE', { ...reason.failure, cause: reason })
    }
  }

  async function verifyOne(endpoint: Endpoint): Promise<Vantage> {
    for (let right = 0; ; ) {
      const seen = await lookOnce(endpoint)
      if (seen instanceof OnecertError) {
        right = 0
        if (clock.nowMs() >= untilMs) throw seen
        await clock.sleep(pauseMs)
        continue
      }
      right += 1
      if (unserved.delete(endpoint) && unserved.size === 0) onServed()
      if (right >= limits.inARow) return seen
      await clock.sleep(limits.apartMs)
    }
  }

  const vantages = await Promise.all(endpoints.map(verifyOne))
  return (['on-server', 'forwarded'] as const).find((each) => vantages.includes(each)) ?? 'direct'
}

/** @param before the leaf that was served before */
function codeFor(
  leaf: string | undefined,
  { chain }: Pick<Generation, 'chain'>,
  before: string | undefined,
): ErrorCode {
  if (leaf === chain[0]) return 'VERIFY_WRONG_CHAIN'
  return leaf === before ? 'VERIFY_OLD_CERTIFICATE' : 'VERIFY_WRONG_CERTIFICATE'
}
