/** What can be done to the world; each has an intent before and an outcome after. */
export type Effect =
  | 'issue'
  | 'key-copy'
  | 'ticket-keys'
  | 'ticket-copy'
  | 'stage'
  | 'adopt'
  | 'swap'
  | 'drain'
  | 'reload'
  | 'ready'
  | 'commit'
  | 'rollback'
  | 'purge'
  | 'lost'
  | 'publish'
  | 'withdraw'
  | 'enrol'
  | 'release'
  | 'answer'
  | 'unanswer'
  | 'account'
  | 'revoke'
  /** A server is changed although its maintenance window is closed. */
  | 'override'
  | 'configure'

/** The facts of an effect. Never key material: a key is named by its SPKI. */
export interface EffectFields {
  readonly effect: Effect
  readonly rollout?: string
  readonly token?: number
  readonly lineage?: string
  readonly generation?: number
  readonly server?: string
  /** The site, and HAProxy's names of backend and member. */
  readonly balancer?: string
  /** Where on the server. */
  readonly path?: string
  /** Whose addresses in the DNS are changed, and by which one. */
  readonly site?: string
  readonly address?: string
  /** SHA-256 of the SubjectPublicKeyInfo, lower hex. */
  readonly spki?: string
  /** SHA-256 of the leaf, lower hex. */
  readonly fingerprint?: string
  /** Session ticket keys: the number of the set, and the SHA-256 of what is written. */
  readonly ticketSet?: number
  readonly ticketHash?: string
  /**
   * How a key travelled: `local`, `ssh <key exchange>`, or `on <server>` where the server copied its own. How a service took
   * its files: `reload`, `start` or `runtime`. What became of an include file: `installed`, `removed` or `absent`.
   */
  readonly way?: string
  readonly reason?: string
}

export interface Entry extends EffectFields {
  readonly seq: number
  readonly atMs: number
  /** Pairs an intent with its outcome. */
  readonly id: string
  readonly phase: 'intent' | 'outcome'
  readonly actor: string
  /** Outcomes only. */
  readonly result?: 'done' | 'failed'
  /** Failures: the code of the error. */
  readonly code?: string
}
