import type { Attempts } from './attempt.ts'
import { type Notes, type Shelf, shelf } from './notes.ts'
import type { Look, Window } from './window.ts'

/** What is kept between runs of one lineage's newest certificate, to decide when it is renewed. */
export interface RenewalState {
  /** The certificate that it is about: with another one it begins anew. null: there is none yet. */
  readonly fingerprint: string | null
  /** From 0 to 1, drawn once: which moment of a window is ours. */
  readonly draw: number
  /** The last time that the CA was asked when it wants the certificate renewed, and what it said (RFC 9773). */
  readonly look: Look | null
  readonly window: Window | null
  /** The last time that a run asked whether it is due; two of them tell how far apart runs are. */
  readonly askedAtMs?: number
  /** What was tried and failed, by issuer. */
  readonly attempts: Readonly<Record<string, FailedAttempts>>
}

export interface FailedAttempts extends Attempts {
  /** Why the last one failed. */
  readonly code: string
  readonly what: string
}

export const noAttempts: Attempts = { failures: 0, firstAttemptMs: 0, lastAttemptMs: 0 }

export function renewalStates(notes: Notes): Shelf<RenewalState> {
  return shelf(notes, 'renewal')
}

/** The state that belongs to a certificate. @param draw for one that has none yet */
export function stateOf(known: RenewalState | null, fingerprint: string | null, draw: number): RenewalState {
  return known?.fingerprint === fingerprint ? known : { fingerprint, draw, look: null, window: null, attempts: {} }
}
