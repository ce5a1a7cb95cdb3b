import { dayMs } from '../base/clock.ts'

/** From when to when a certificate is valid. */
export interface Validity {
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

/** What Let's Encrypt takes for short too, when it suggests half of the lifetime in place of two thirds. */
const shortLifetimeMs = 10 * dayMs
/** Of the lifetime: as long as a CA may be down. */
const outageShare = 0.3
/** A clock may be a day behind. */
const clockBehindMs = dayMs
/** What is left at least: what Let's Encrypt expects. */
const remainingShare = 1 / 3
/** A third of six days is two: a long weekend. */
const shortRemainingShare = 1 / 2
/** As wide as the windows of Let's Encrypt, so that certificates of one day do not all come back on one day. */
const spreadShare = 0.02

export function isShort({ notBeforeMs, notAfterMs }: Validity): boolean {
  return notAfterMs - notBeforeMs < shortLifetimeMs
}

/**
 * When a renewal is due whatever anyone says: what remains is for trying again. It bears a clock that is behind, an outage,
 * and the time until a look finds that over.
 * @param everyMs how far apart looks are, at most a day
 */
export function lastMomentMs(validity: Validity, everyMs: number): number {
  const lifetimeMs = validity.notAfterMs - validity.notBeforeMs
  const neededMs = lifetimeMs * outageShare + clockBehindMs + everyMs
  const remainingMs = isShort(validity)
    ? lifetimeMs * shortRemainingShare
    : Math.max(lifetimeMs * remainingShare, neededMs)
  return validity.notAfterMs - remainingMs
}

/** When a renewal is due by the lifetime alone. `draw`, from 0 to 1 and kept for the certificate, moves it forward a little. */
export function lifetimeDueMs(validity: Validity, draw: number, everyMs: number): number {
  return lastMomentMs(validity, everyMs) - (validity.notAfterMs - validity.notBeforeMs) * spreadShare * draw
}
