import type { Clock } from '../../base/clock.ts'

/** The time that one operation has, with all its retries. */
export interface TimeLimit {
  readonly signal: AbortSignal
  nowMs(): number
  remainingMs(): number
  elapsedMs(): number
  /** Waits, and says true; where that does not fit, it says false at once. Rejects with the signal's reason. */
  pause(durationMs: number): Promise<boolean>
  /**
   * The same before one more request, for which a tenth of the whole time has to be left: one that is begun and cut off
   * would leave behind what nobody knows about.
   */
  pauseBeforeRequest(durationMs: number): Promise<boolean>
}

export function startTimeLimit(clock: Clock, signal: AbortSignal, withinMs: number): TimeLimit {
  const startMs = clock.nowMs()
  const remainingMs = () => startMs + withinMs - clock.nowMs()
  const pause = async (durationMs: number, leftMs: number) => {
    if (durationMs + leftMs >= remainingMs()) return false
    await clock.sleep(durationMs, signal)
    return true
  }
  return {
    signal,
    nowMs: () => clock.nowMs(),
    remainingMs,
    elapsedMs: () => clock.nowMs() - startMs,
    pause: (durationMs) => pause(durationMs, 0),
    pauseBeforeRequest: (durationMs) => pause(durationMs, withinMs / 10),
  }
}

const firstPauseMs = 250
const pauseMaxMs = 10_000

/** Doubles with each attempt, from 0; half of it by chance, so that many clients do not come back together. */
export function backOffMs(attempt: number): number {
  const wholeMs = Math.min(pauseMaxMs, firstPauseMs * 2 ** Math.min(attempt, 16))
  return (wholeMs * (1 + Math.random())) / 2
}
