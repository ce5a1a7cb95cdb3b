import type { Repair } from '../audit/repair.ts'
import { asOnecertError, type OnecertError } from '../base/errors.ts'
import { type ApplyResult, apply } from './apply.ts'
import type { Choice } from './choice.ts'
import { connectTimeoutMs } from './connection.ts'
import type { Context } from './context.ts'

/** How one repair ended. */
export interface Repaired {
  readonly repair: Repair
  /** null: it stopped before any server was touched. */
  readonly result: ApplyResult | null
  readonly stopped: OnecertError | null
}

const parallel = 16

/**
 * Carries repairs out, by the same rollout as `apply`; one that fails stops no other one.
 * @throws OnecertError INTERRUPTED
 */
export async function fixAll(
  context: Context,
  repairs: readonly Repair[],
  choice: Pick<Choice, 'servers'>,
): Promise<Repaired[]> {
  const all: Repaired[] = []
  for (const repair of repairs) {
    context.signal.throwIfAborted()
    const servers = repair.servers ?? choice.servers
    const certificates = [repair.certificate]
    const options = { certificates, ...(servers && { servers }), thorough: true, now: null, parallel, connectTimeoutMs }
    try {
      const result = await apply(context, options)
      all.push({ repair, result, stopped: result.stopped })
    } catch (error) {
      all.push({ repair, result: null, stopped: asOnecertError(error) })
    }
  }
  context.signal.throwIfAborted()
  return all
}
