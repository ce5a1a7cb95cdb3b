import { asOnecertError } from '../base/errors.ts'
import type { Membership } from '../fleet/placement.ts'
import { counted } from '../pki/text.ts'
import type { MemberState } from './balancer.ts'
import type { Drained } from './progress.ts'
import { effectOf, type ServerRollout, type Session } from './task.ts'

const pauseMs = 50
/** A member that passes its checks is UP at once. */
const readyWithinMs = 15_000

/**
 * What to do about a member that is to be drained. Pure.
 * @param held members of its backend that this rollout has drained: they come back, so there is somebody to wait for
 */
export function decideDrain({ state, others }: MemberState, held: number): 'drain' | 'wait' | 'last' | 'leave' {
  // In maintenance, drained or down: by an operator's word or its own health, and not ours to change.
  if (state !== 'up') return 'leave'
  if (others > 0) return 'drain'
  return held > 0 ? 'wait' : 'last'
}

/** For how long a balancer may hold a member for us: the drains, our turn among others, then reload, proof or rollback. */
export function holdMs(memberships: readonly Membership[], confirmWithinMs: number): number {
  const drains = memberships.reduce((sum, { control }) => sum + control.drainWithinMs, 0)
  return 2 * (drains + confirmWithinMs)
}

/**
 * Does the work while no balancer gives the server new connections. What stands in the way of that is said, and does not stop
 * the work: a certificate that expires harms more than a connection that is cut. However it ends, and where we end with it,
 * the server gets its connections again.
 */
export async function drained<Result>(
  task: ServerRollout,
  session: Session,
  work: () => Promise<Result>,
): Promise<Result> {
  const taken: { readonly membership: Membership; readonly sinceMs: number }[] = []
  try {
    for (const membership of task.planned.memberships) {
      task.onStep('drain')
      const sinceMs = task.clock.nowMs()
      const outcome = await take(task, membership)
      if (outcome === 'drain') taken.push({ membership, sinceMs })
      else session.drained.push(told(membership, outcome, 0, task.clock.nowMs() - sinceMs))
    }
    for (const { membership, sinceMs } of taken) {
      const sessions = await waitForSessions(task, membership, sinceMs)
      const outcome = sessions === null ? 'unreachable' : sessions > 0 ? 'sessions-left' : 'drained'
      session.drained.push(told(membership, outcome, sessions ?? 0, task.clock.nowMs() - sinceMs))
    }
    return await work()
  } finally {
    if (taken.length > 0) task.onStep('ready')
    for (const { membership } of taken) await makeReady(task, membership)
  }
}

function told(
  { site, control, member }: Membership,
  outcome: Drained['outcome'],
  sessions: number,
  elapsedMs: number,
): Drained {
  return { site, backend: control.backend, member, outcome, sessions, elapsedMs }
}

async function take(
  task: ServerRollout,
  membership: Membership,
): Promise<'drain' | 'last' | 'untouched' | 'unreachable'> {
  const { balancers, clock, signal, ledger } = task
  const server = task.planned.placement.server.name
  const { backend } = membership.control
  const limitMs = holdMs(task.planned.memberships, task.confirmWithinMs)
  const untilMs = clock.nowMs() + limitMs
  try {
    for (;;) {
      signal.throwIfAborted()
      const held = balancers.held(membership)
      const seen = await balancers.look(membership)
      const decision = clock.nowMs() < untilMs ? decideDrain(seen, held) : 'last'
      if (decision === 'leave') {
        if (seen.state !== 'down') task.notice(`${server} is in ${seen.state} at ${placeOf(membership)}, and stays so`)
        return 'untouched'
      }
      if (decision === 'last') {
        task.notice(`${server} is the last member of ${backend} that is UP: it is reloaded without a drain`)
        return 'last'
      }
      if (decision === 'wait') await clock.sleep(pauseMs, signal)
      else if (await ledger.effect(effectAt(task, membership, 'drain'), () => balancers.drain(membership, limitMs)))
        return 'drain'
    }
  } catch (error) {
    if (error === signal.reason) throw error
    const { what, fact } = asOnecertError(error).failure
    task.notice(`${server} is reloaded without a drain: ${what}${fact ? ` (${fact})` : ''}`)
    return 'unreachable'
  }
}

/** @returns how many are left when the time is up; null where the balancer says nothing any more */
async function waitForSessions(task: ServerRollout, membership: Membership, sinceMs: number): Promise<number | null> {
  const { balancers, clock, signal } = task
  const { drainWithinMs, backend } = membership.control
  const server = task.planned.placement.server.name
  try {
    for (;;) {
      const { sessions } = await balancers.look(membership)
      if (sessions === 0) return 0
      if (clock.nowMs() - sinceMs >= drainWithinMs) {
        task.notice(
          `${server} has ${counted(sessions, 'session')} of ${backend} after ${drainWithinMs / 1000} s: it is reloaded with them`,
        )
        return sessions
      }
      await clock.sleep(pauseMs, signal)
    }
  } catch (error) {
    if (error === signal.reason) throw error
    task.notice(`${server}: ${asOnecertError(error).failure.what}; it is reloaded as it is`)
    return null
  }
}

/** Its end is not the server's: that one is proved by now, or was brought back. */
async function makeReady(task: ServerRollout, membership: Membership): Promise<void> {
  const { balancers, clock, ledger } = task
  const server = task.planned.placement.server.name
  const place = placeOf(membership)
  try {
    await ledger.effect(effectAt(task, membership, 'ready'), () => balancers.ready(membership))
    for (const untilMs = clock.nowMs() + readyWithinMs; ; await clock.sleep(pauseMs)) {
      const { state } = await balancers.look(membership)
      if (state === 'up') return
      if (state !== 'down' || clock.nowMs() >= untilMs) {
        task.notice(`${server} was made ready at ${place}, and is ${state} there`)
        return
      }
    }
  } catch (error) {
    const { what } = asOnecertError(error).failure
    const seconds = Math.ceil(holdMs(task.planned.memberships, task.confirmWithinMs) / 1000)
    task.notice(`${server} was not made ready at ${place}: ${what}; the balancer does it by itself within ${seconds} s`)
  }
}

function placeOf({ control, member }: Membership): string {
  return `${control.backend}/${member}`
}

function effectAt(task: ServerRollout, membership: Membership, effect: 'drain' | 'ready') {
  return { ...effectOf(task), effect, balancer: `${membership.site} ${placeOf(membership)}` } as const
}
