import { type Change, changeOf, type Known } from '../audit/change.ts'
import type { Clock } from '../base/clock.ts'
import { asOnecertError, type OnecertError } from '../base/errors.ts'
import type { Audit } from './audit.ts'

export interface Round {
  readonly atMs: number
  readonly audit: Audit
  readonly change: Change
}

/** One round after the other. */
export interface Rounds {
  readonly everyMs: number
  readonly clock: Clock
  /** From 0 to 1. */
  readonly random: () => number
  look(): Promise<Audit>
  /** @returns `again`: something was done about it, and the next round is at once */
  onRound(round: Round): Promise<'again' | 'pause'>
  /** A round that could not be made; the next one may. */
  onFailed(error: OnecertError, atMs: number): void
}

/** Of the time between two rounds: many watchers that were started together come apart. */
const jitterShare = 0.1
/** Of it, for the servers to rest behind a round that took long. */
const restShare = 0.1

/** From the end of a round to the next one. */
export function pauseMs(everyMs: number, tookMs: number, random: number): number {
  return Math.max(everyMs * (1 + jitterShare * (2 * random - 1)) - tookMs, everyMs * restShare)
}

/**
 * Audits until the signal comes; a round begins when the one before has ended. What failed in the first round because of
 * how it was asked would fail each time.
 * @throws OnecertError of the command line or the fleet file, in the first round
 */
export async function auditRounds(rounds: Rounds, signal: AbortSignal): Promise<void> {
  const { everyMs, clock, random } = rounds
  let known: Known = new Map()
  for (let first = true; !signal.aborted; first = false) {
    const startedMs = clock.nowMs()
    try {
      const audit = await rounds.look()
      const atMs = clock.nowMs()
      const change = changeOf(known, audit.subjects, atMs)
      known = change.known
      if ((await rounds.onRound({ atMs, audit, change })) === 'again') continue
    } catch (thrown) {
      if (signal.aborted) return
      const error = asOnecertError(thrown)
      if (first && (error.exit === 64 || error.exit === 78)) throw error
      rounds.onFailed(error, clock.nowMs())
    }
    const waitMs = pauseMs(everyMs, Math.max(0, clock.nowMs() - startedMs), random())
    await clock.sleep(waitMs, signal).catch(() => {})
  }
}
