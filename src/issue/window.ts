import { hourMs, minuteMs } from '../base/clock.ts'
import type { RenewalInfo } from './acme/resources.ts'

/** When the CA would like a certificate to be renewed (RFC 9773 section 4.2). */
export type Window = Pick<RenewalInfo, 'startMs' | 'endMs'> & Partial<Pick<RenewalInfo, 'explanationUrl'>>

/**
 * The point of a window at which to renew, never after `latestMs`; null where no part of it lies before that, or where it
 * is none. With a `draw` that is uniformly random, so is the point (RFC 9773 section 4.2), in the part that counts.
 */
export function pointMs({ startMs, endMs }: Window, draw: number, latestMs: number): number | null {
  // RFC 9773 section 4.2: an end that is not after the start counts as no answer.
  if (!(startMs < endMs) || !(startMs < latestMs)) return null
  return startMs + (Math.min(endMs, latestMs) - startMs) * draw
}

/** The last time that the CA was asked for the window of a certificate. */
export interface Look {
  readonly atMs: number
  /** Duration, from Retry-After; null where it said none. */
  readonly retryAfterMs: number | null
  /** How often in a row there was no answer, this time included; 0: there was one. */
  readonly failures: number
}

/** RFC 9773 section 4.3.2 wants limits; it names one minute and one day. Twice a day, a mass revocation is seen in time. */
const retryAfterMinMs = minuteMs
const retryAfterMaxMs = 12 * hourMs
/** RFC 9773 section 4.3.3. */
const afterErrorMs = 6 * hourMs
/** RFC 9773 section 4.3.3: a capped number of tries, then as a long-term error. */
const triesMax = 5

/**
 * When to ask the CA for the window again; null: never, the certificate has expired (RFC 9773 section 4.3). The caller
 * asks for the newest certificate of a lineage only.
 */
export function nextLook(
  last: Look | null,
  { nowMs, notAfterMs }: { readonly nowMs: number; readonly notAfterMs: number },
): number | null {
  if (nowMs >= notAfterMs) return null
  // A look in the future is one of a clock that was wrong.
  if (last === null || last.atMs > nowMs) return nowMs
  return last.atMs + lookAfterMs(last)
}

function lookAfterMs({ failures, retryAfterMs }: Look): number {
  if (failures > triesMax) return afterErrorMs
  if (failures > 0) return minuteMs * 2 ** (failures - 1)
  if (retryAfterMs === null || Number.isNaN(retryAfterMs)) return afterErrorMs
  return Math.min(Math.max(retryAfterMs, retryAfterMinMs), retryAfterMaxMs)
}
