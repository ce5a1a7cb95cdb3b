import type { Clock } from '../../base/clock.ts'
import { mayHaveArrived } from './session.ts'

const triesMax = 6
const firstPauseMs = 500

/**
 * A request that must not be made twice and whose answer may be lost: where it failed on the way, what it would have done
 * is looked for first, and only if it is not there it is made again.
 * @param look the result, if the request did arrive
 */
export async function insist<Result>(
  request: () => Promise<Result>,
  look: () => Promise<Result | null>,
  { clock, signal }: { readonly clock: Clock; readonly signal: AbortSignal },
): Promise<Result> {
  for (let tries = 1; ; tries++) {
    try {
      return await request()
    } catch (error) {
      if (!mayHaveArrived(error) || tries >= triesMax || signal.aborted) throw error
      await clock.sleep(firstPauseMs * 2 ** (tries - 1), signal)
      const found = await look()
      if (found !== null) return found
    }
  }
}
