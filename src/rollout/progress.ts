import type { OnecertError } from '../base/errors.ts'
import type { Vantage } from '../observe/served.ts'

/**
 * The state of one server in a rollout. Where it ends at `pending` or `staged`, nothing was swapped; one that is
 * `unreachable` keeps what was there, or brings it back by itself.
 */
export type ServerState =
  | 'pending'
  | 'staged'
  | 'swapped'
  | 'tested'
  | 'reloaded'
  | 'verified'
  | 'committed'
  | 'rolledBack'
  | 'quarantined'
  | 'unreachable'

export type Step =
  | 'connect'
  | 'adopt'
  | 'stage'
  | 'tickets'
  | 'drain'
  | 'swap'
  | 'reload'
  | 'verify'
  | 'commit'
  | 'rollback'
  | 'ready'

/** How a server fared at one of its balancers while it was changed. */
export interface Drained {
  readonly site: string
  /** HAProxy's names. */
  readonly backend: string
  readonly member: string
  /**
   * `drained`: it had no connection left. `sessions-left`: some were left when the time was up. `last`: nobody else took new
   * connections, so it went on. `untouched`: it took none before. `unreachable`: the balancer could not be told.
   */
  readonly outcome: 'drained' | 'sessions-left' | 'last' | 'untouched' | 'unreachable'
  readonly sessions: number
  readonly elapsedMs: number
}

/** How the service tested the new files: before the swap, in a mount namespace or on a copy of its configuration, or behind it. */
export type Sealed = 'namespace' | 'copy' | 'none'

/** How it ended at one server. */
export interface ServerOutcome {
  readonly server: string
  readonly state: ServerState
  /** False: it was right already, and was only looked at. */
  readonly changed: boolean
  /** The private key travelled. */
  readonly keySent: boolean
  /** Session ticket keys travelled. */
  readonly ticketKeysSent: boolean
  readonly bytesSent: number
  readonly elapsedMs: number
  readonly vantage?: Vantage
  /** Absent: it did not come to a test. */
  readonly sealed?: Sealed
  /** How the service took the files: `reload`, `start`, or `runtime` where no reload was needed. Absent: it took none. */
  readonly way?: string
  /** At each balancer that can be told; empty where nothing was reloaded. */
  readonly drained: readonly Drained[]
  readonly error?: OnecertError
}

export type ProgressEvent =
  | {
      readonly kind: 'wave'
      readonly lineage: string
      readonly wave: number
      readonly of: number
      readonly servers: readonly string[]
    }
  | { readonly kind: 'step'; readonly lineage: string; readonly server: string; readonly step: Step }
  | { readonly kind: 'ended'; readonly lineage: string; readonly outcome: ServerOutcome }
  /** Something that is not as it should be, and does not stop us. */
  | { readonly kind: 'notice'; readonly lineage: string; readonly text: string }
  /** A step that belongs to no lineage. */
  | { readonly kind: 'server'; readonly server: string; readonly text: string }
  | { readonly kind: 'stopped'; readonly lineage: string; readonly reason: string }

export type Report = (event: ProgressEvent) => void
