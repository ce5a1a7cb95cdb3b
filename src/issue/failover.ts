import { hourMs } from '../base/clock.ts'
import type { Attempts } from './attempt.ts'

/** An issuer of a lineage, and what was tried with it since the newest certificate was issued. */
export interface Candidate {
  readonly name: string
  readonly attempts: Attempts
}

const patienceMinMs = hourMs
const patienceMaxMs = 24 * hourMs
/** Of what remains; where there is no certificate yet, nothing remains. */
const patienceShare = 1 / 10
/** One failure may be a moment's, however long ago it was. */
const failuresMin = 2

/**
 * The issuer to ask next. The first one stays until it has failed for a tenth of what remains (1 hour to a day), or says
 * that it will not issue for so long; then comes the second. Where all have failed, they take turns. As histories begin
 * with each certificate, the next renewal begins with the first one again.
 */
export function chooseIssuer(
  candidates: readonly [Candidate, ...Candidate[]],
  { nowMs, notAfterMs }: { readonly nowMs: number; readonly notAfterMs: number | null },
): Candidate {
  const restMs = notAfterMs === null ? 0 : notAfterMs - nowMs
  const patienceMs = Math.min(Math.max(restMs * patienceShare, patienceMinMs), patienceMaxMs)
  const hopeful = candidates.find(({ attempts }) => !hasFailed(attempts, nowMs, patienceMs))
  if (hopeful) return hopeful
  return candidates.reduce((longest, next) => (turnMs(next) < turnMs(longest) ? next : longest))
}

function hasFailed({ failures, firstAttemptMs, notBeforeMs = 0 }: Attempts, nowMs: number, patienceMs: number) {
  if (failures === 0) return false
  return notBeforeMs > nowMs + patienceMs || (failures >= failuresMin && nowMs >= firstAttemptMs + patienceMs)
}

function turnMs({ attempts: { lastAttemptMs, notBeforeMs = 0 } }: Candidate): number {
  return Math.max(lastAttemptMs, notBeforeMs)
}
