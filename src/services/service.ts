import type { FileLayout, ServiceKind } from '../fleet/fleet.ts'
import type { Sealing } from './sealing.ts'

/** What a rollout has to know of the software that terminates TLS on a server. Commands are argv lists. */
export interface Service {
  readonly kind: ServiceKind
  readonly layout: FileLayout
  /** Tests the configuration as it is on disk; empty where the software has no test. */
  readonly test: readonly string[]
  /** How the test is run with files that nothing else sees yet; null: it may look at other files than a process there sees. */
  readonly sealing: Sealing | null
  readonly reload: readonly string[]
  /** HAProxy's Runtime API, where the server has one: tried before `reload`. */
  readonly socket?: string
  /** Tried when a reload finds the service down; empty: none. */
  readonly start: readonly string[]
  /** Octal text and `user:group`, where the software reads its key with an account of its own. */
  readonly keyMode?: string
  readonly keyOwner?: string
  /** The account that opens the key; `root` where that is done before rights are given up. Absent: nobody knows. */
  readonly keyReader?: string
  /** Why a key is not taken that its account could read; null: it is taken. */
  readonly keyRefusal?: (key: { readonly mode: number; readonly user: string }) => string | null
  /** False: a reload that the software cannot digest ends it, so it never shares a wave with the last healthy server. */
  readonly reloadKeepsOldOnError: boolean
  /** How it reads session ticket keys; null: it cannot take other ones with a reload. */
  readonly ticketKeys: TicketFormat | null
}

/** `files`: previous.key, current.key and next.key, 80 bytes each; `lines`: tickets.keys, the same in Base64. */
export type TicketFormat = 'files' | 'lines'
