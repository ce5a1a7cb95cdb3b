import type { Clock } from '../../base/clock.ts'
import type { KeyKeeper } from '../issuer.ts'
import type { Notes } from '../notes.ts'

/** What an ACME issuer works with. */
export interface AcmeTools {
  readonly keys: KeyKeeper
  readonly notes: Notes
  readonly clock: Clock
  readonly signal: AbortSignal
}
