import type { Clock } from '../../base/clock.ts'
import type { KeyKeeper } from '../issuer.ts'
import type { Notes } from '../notes.ts'

/** What an ACME issuer works with. */
export interface AcmeTools {
  readonly keys: KeyKeeper
  readonly notes: Notes
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Of each operation at the CA, with its retries; absent: as the client has it. */
  readonly withinMs?: number
}
