import type { Clock } from '../base/clock.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Connection, OpenOptions, Reach, ReceiverText } from '../reach/connection.ts'
import type { Service } from '../services/service.ts'
import type { Balancers } from './balancer.ts'
import type { FileHashes, Generation } from './generation.ts'
import type { PlannedServer } from './plan.ts'
import type { Drained, Sealed, ServerState, Step } from './progress.ts'
import type { TicketKeys } from './tickets.ts'

/** What the steps at one server need; the same for all servers of a rollout but for `planned`, `receiver` and `service`. */
export interface ServerRollout {
  readonly rollout: string
  readonly token: number
  readonly planned: PlannedServer
  readonly generation: Generation
  readonly hashes: FileHashes
  readonly service: Service
  /** null: none are wanted, and those that are there go. */
  readonly tickets: TicketKeys | null
  readonly receiver: ReceiverText
  readonly reach: Reach
  readonly ledger: Ledger
  readonly clock: Clock
  readonly balancers: Balancers
  readonly confirmWithinMs: number
  readonly connectTimeoutMs: number
  /** Aborted: nothing is swapped any more; what is swapped already is brought to its end. */
  readonly signal: AbortSignal
  /** Durable when it resolves, and never later than the next intent in the ledger. */
  readonly setState: (state: ServerState, detail: Record<string, unknown>) => Promise<void>
  readonly onStep: (step: Step) => void
  /** Something that is not as it should be, and does not stop us. */
  readonly notice: (text: string) => void
  /** Each of its endpoints has shown the new certificate once. That it goes on doing so is still to be seen. */
  readonly onServed: () => void
  /** It holds the ticket keys that are wanted, or none where none are. Durable when it resolves. */
  readonly onTickets: () => Promise<void>
}

/** What has become of the task so far. */
export interface Session {
  connection: Connection | null
  changed: boolean
  keySent: boolean
  ticketKeysSent: boolean
  bytesSent: number
  readonly drained: Drained[]
  state: ServerState
  /** How its service tested the new files; absent before that. */
  sealed?: Sealed
  /** How its service took the files; absent before that. */
  way?: string
}

/** What all ledger entries of a task say. */
export function effectOf({ rollout, token, planned, generation }: ServerRollout) {
  return { rollout, lineage: generation.lineage, server: planned.placement.server.name, token } as const
}

/** A secret that may be recorded on its way travels under a key exchange fit for it. */
export function carriesSecret({ action, ticketKeys }: PlannedServer): boolean {
  return action === 'key' || ticketKeys
}

/** How a connection of the task is opened; where no key is to travel, with the cheaper key exchange. */
export function openOptions(task: ServerRollout, carriesKey: boolean): OpenOptions {
  const { receiver, connectTimeoutMs: timeoutMs, signal } = task
  return { receiver, carriesKey, timeoutMs, signal }
}
