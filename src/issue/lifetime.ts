/** From when to when a certificate is valid. */
export interface Validity {
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

const dayMs = 86_400_000
/** What Let's Encrypt takes for short too, when it suggests half of the lifetime in place of two thirds. */
const shortLifetimeMs = 10 * dayMs
/** Enough for a CA that is down for 30 % of the lifetime, with a thirtieth for wrong clocks and rare looks. */
const remainingShare = 1 / 3
/** A third of six days is two: a long weekend. */
const shortRemainingShare = 1 / 2
/** As wide as the windows of Let's Encrypt, so that certificates of one day do not all come back on one day. */
const spreadShare = 0.02

export function isShort({ notBeforeMs, notAfterMs }: Validity): boolean {
  return notAfterMs - notBeforeMs < shortLifetimeMs
}

/** When a renewal is due whatever anyone says: what remains is for trying again. */
export function lastMomentMs(validity: Validity): number {
  const share = isShort(validity) ? shortRemainingShare : remainingShare
  return validity.notAfterMs - (validity.notAfterMs - validity.notBeforeMs) * share
}

/** When a renewal is due by the lifetime alone. `draw`, from 0 to 1 and kept for the certificate, moves it forward a little. */
export function lifetimeDueMs(validity: Validity, draw: number): number {
  return lastMomentMs(validity) - (validity.notAfterMs - validity.notBeforeMs) * spreadShare * draw
}
