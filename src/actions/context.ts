import type { Clock } from '../base/clock.ts'
import type { Fleet, Machine } from '../fleet/fleet.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Reach } from '../reach/connection.ts'
import type { Report } from '../rollout/progress.ts'
import type { Store } from '../store/store.ts'
import type { Vault } from '../vault/vault.ts'

/** What the verbs work with; wired by hand in each program's main file. */
export interface Context {
  readonly fleet: Fleet
  readonly store: Store
  readonly ledger: Ledger
  /** Opened when a key is needed, not before: looking needs no vault. */
  readonly vault: () => Promise<Vault>
  readonly reachOf: (machine: Machine) => Reach
  readonly clock: Clock
  /** Who acts: `user@machine`. */
  readonly actor: string
  /** This process, for a lease that others can judge. */
  readonly holder: string
  readonly signal: AbortSignal
  readonly report: Report
}
