import { asOnecertError, OnecertError, retold } from '../base/errors.ts'
import { endpointsOf, endpointText } from '../observe/endpoint.ts'
import type { Connection } from '../reach/connection.ts'
import { expectOk, recordZeroed } from './conversation.ts'
import type { Look } from './prober.ts'
import { effectOf, type ServerRollout, type Session } from './task.ts'
import { verify, verifyLimits } from './verify.ts'

/** What was served before the swap. */
interface Before {
  /** Not so: the running service has the old files still, and a reload could only do harm. */
  readonly reloaded: boolean
  /** The leaf of each endpoint that was seen. */
  readonly before: ReadonlyMap<string, string>
  /** An earlier session saw it, and we did not: at least something must be served again. */
  readonly mustServe: boolean
}

/**
 * The old generation again, proved; the session's state says how it ended.
 * @throws OnecertError ROLLBACK_FAILED, with the commands for a person
 */
export async function rollBack(
  task: ServerRollout,
  session: Session,
  connection: Connection,
  look: Look,
  { reloaded, before, mustServe }: Before,
  cause: OnecertError,
): Promise<void> {
  const { server } = task.planned.placement
  try {
    await task.ledger.effect({ ...effectOf(task), effect: 'rollback', reason: cause.code }, async () => {
      const answer = await connection.request('rollback', [])
      await recordZeroed(task, expectOk(answer, `rolling back ${server.name}`, ''))
      if (reloaded) {
        const again = await connection.request('reload', [])
        if (again.facts.get('status') !== '0' && before.size > 0) await connection.request('start', [])
      }
      for (const endpoint of endpointsOf(task.planned.placement)) {
        const old = before.get(endpointText(endpoint))
        if (old) await verify([endpoint], { chain: [old] }, look, task.clock, verifyLimits)
        else if (mustServe) await look(endpoint, verifyLimits.handshakeTimeoutMs)
      }
    })
    session.state = 'rolledBack'
  } catch (thrown) {
    const error = asOnecertError(thrown)
    if (connectionLost(error)) throw undoesItself(task, session, cause)
    session.state = 'quarantined'
    // Some kinds have no test, or need no reload.
    const commands = [task.service.test, task.service.reload].flatMap((argv) => argv.join(' ') || [])
    const base = `${server.directory}/${task.generation.lineage}`
    throw new OnecertError('ROLLBACK_FAILED', {
      what: `${server.name} could not be brought back`,
      fact: `${cause.failure.what}; then ${error.failure.what}`,
      state: `both generations are on ${server.name}, in ${base}`,
      next: `on ${server.name}: ${[`ls -l ${base}/current`, ...commands].join('; ')}`,
      cause,
    })
  }
}

export function connectionLost(thrown: unknown): boolean {
  return thrown instanceof OnecertError && (thrown.code === 'SSH_LOST' || thrown.code === 'RECEIVER_SILENT')
}

/** The connection is gone while a swap is unconfirmed: the server's watchdog decides, not we. */
export function undoesItself(task: ServerRollout, session: Session, cause: OnecertError): OnecertError {
  const { server } = task.planned.placement
  session.state = 'unreachable'
  return retold(cause, {
    state: `an unconfirmed swap on ${server.name} undoes itself there within ${task.confirmWithinMs / 1000} s`,
    next: 'onecert status, then: onecert apply',
  })
}
