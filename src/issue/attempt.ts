import { dayMs, hourMs, minuteMs } from '../base/clock.ts'

/** What was tried with one issuer since the newest certificate was issued, without success. */
export interface Attempts {
  /** How many failed; 0: nothing was tried yet. */
  readonly failures: number
  readonly firstAttemptMs: number
  readonly lastAttemptMs: number
  /** What the CA, or our own count of its limits, said: not before. */
  readonly notBeforeMs?: number
}

const firstDelayMs = 5 * minuteMs
/** Four a day: a failure that lasts for a whole lifetime stays below the 1,152 in a row that Let's Encrypt allows. */
const delayMaxMs = 6 * hourMs
/** Let's Encrypt gives back one failed authorization in 12 minutes. */
const delayMinMs = 15 * minuteMs
/** So many attempts in the time that is left, whatever that is. */
const attemptsInRest = 24
/** Lineages that failed together come back apart. */
const spreadShare = 0.25
/** The longest window of a limit that is known (Let's Encrypt, certificates); a CA that says more is asked again. */
const notBeforeMaxMs = 7 * dayMs

/**
 * When to try again. The wait doubles from 5 minutes to at most 6 hours, or a 24th of what remains until `notAfterMs`
 * (not less than 15 minutes); after that date it grows again, for then somebody has to act. `draw`, from 0 to 1, makes it
 * up to a quarter longer.
 */
export function nextAttempt(
  { failures, lastAttemptMs, notBeforeMs = 0 }: Attempts,
  {
    nowMs,
    notAfterMs,
    draw,
  }: {
    readonly nowMs: number
    /** null: there is no certificate yet. */
    readonly notAfterMs: number | null
    readonly draw: number
  },
): number {
  // An attempt in the future is one of a clock that was wrong: it says nothing.
  if (failures === 0 || lastAttemptMs > nowMs) return nowMs
  const restMs = notAfterMs === null ? Number.POSITIVE_INFINITY : Math.abs(notAfterMs - lastAttemptMs)
  const longestMs = Math.min(Math.max(restMs / attemptsInRest, delayMinMs), delayMaxMs)
  const delayMs = Math.min(firstDelayMs * 2 ** (failures - 1), longestMs) * (1 + spreadShare * draw)
  return Math.max(lastAttemptMs + delayMs, Math.min(notBeforeMs, lastAttemptMs + notBeforeMaxMs))
}
