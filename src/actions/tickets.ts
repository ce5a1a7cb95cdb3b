import { randomBytes } from 'node:crypto'
import { Secret } from '../base/secret.ts'
import type { Certificate } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { type Shelf, shelf } from '../issue/notes.ts'
import { type TicketCopy, ticketCopies } from '../ledger/keycopies.ts'
import type { Generation } from '../rollout/generation.ts'
import {
  decideTickets,
  type TicketDecision,
  type TicketKeys,
  type TicketState,
  ticketHash,
} from '../rollout/tickets.ts'
import { serviceOf } from '../services/drivers.ts'
import type { Store } from '../store/store.ts'
import type { Vault } from '../vault/vault.ts'
import type { Context } from './context.ts'

/** As nginx and HAProxy take them: a name, a key for AES-256, a key for HMAC. */
const ticketKeyBytes = 80

const vaultShelf = (lineage: string) => `tickets..${lineage}`

export function ticketStates(store: Store): Shelf<TicketState> {
  return shelf(store, 'tickets')
}

/** What the servers of a lineage should hold. */
export interface Tickets {
  readonly keys: TicketKeys
  /** Why they were made or rotated now; null: they stand. */
  readonly reason: string | null
  /** A rotation is due, and these have not got the set in use yet. */
  readonly late: readonly string[]
}

/** What is to happen to the ticket keys, before it does; null: the fleet file asks for none. */
export async function ticketDecision(
  { fleet, store, clock }: Context,
  certificate: Certificate,
  spki: string,
): Promise<{ readonly state: TicketState | null; readonly decision: TicketDecision } | null> {
  if (!certificate.tickets) return null
  const state = await ticketStates(store).read(certificate.name)
  const committed = await store.committedGenerations(certificate.name)
  // A server that serves nothing of the lineage yet has no client whose session it could refuse.
  const servers = ticketServers(fleet, certificate.name).filter((name) => committed.has(name))
  const { rotateMs } = certificate.tickets
  return { state, decision: decideTickets(state, { nowMs: clock.nowMs(), rotateMs, spki, servers }) }
}

/** The servers of a lineage whose service can take ticket keys. */
export function ticketServers(fleet: Context['fleet'], lineage: string): string[] {
  return placements(fleet, lineage)
    .filter(({ server }) => serviceOf(server.service).ticketKeys !== null)
    .map(({ server }) => server.name)
}

/**
 * The ticket keys of a lineage, made or rotated where it is time; null where the fleet file asks for none. They are in the
 * vault, and noted, before any server hears of them.
 * @throws OnecertError VAULT_*, STATE_*
 */
export async function ticketsOf(
  context: Context,
  certificate: Certificate,
  { spki }: Generation,
): Promise<Tickets | null> {
  const decided = await ticketDecision(context, certificate, spki)
  if (decided === null) return null
  const { state, decision } = decided
  const lineage = certificate.name
  const vault = await context.vault()
  const known = state && (await vault.has(vaultShelf(lineage), state.id)) ? state : null
  if (decision.kind === 'keep' && known) {
    const lines = await vault.get(vaultShelf(lineage), known.id)
    return { keys: { number: known.number, lines }, reason: null, late: decision.late }
  }
  const lines =
    decision.kind === 'rotate' && known ? rotated(await vault.get(vaultShelf(lineage), known.id)) : threeNew()
  const reason = decision.kind === 'keep' || (state && !known) ? 'the vault has lost them' : decision.reason
  return { keys: await keep(context, lineage, { lines, spki, reason, before: state }), reason, late: [] }
}

async function keep(
  { store, ledger, clock, vault: open }: Context,
  lineage: string,
  made: {
    readonly lines: Secret<string>
    readonly spki: string
    readonly reason: string
    readonly before: TicketState | null
  },
): Promise<TicketKeys> {
  const keys = { number: (made.before?.number ?? 0) + 1, lines: made.lines }
  const id = ticketHash(keys, 'lines')
  const vault = await open()
  await ledger.effect(
    { effect: 'ticket-keys', lineage, ticketSet: keys.number, ticketHash: id, reason: made.reason },
    async () => {
      await vault.put(vaultShelf(lineage), made.lines, id)
      const { spki, before } = made
      const rotatedAtMs = clock.nowMs()
      await ticketStates(store).write(lineage, {
        number: keys.number,
        id,
        spki,
        rotatedAtMs,
        held: before?.held ?? {},
      })
      await removeOthers(vault, lineage, id)
    },
  )
  return keys
}

/** What was rotated out is in nobody's hands any more; nor is what an interrupted run made and did not note. */
async function removeOthers(vault: Vault, lineage: string, id: string | null): Promise<void> {
  for (const { lineage: place, spki } of await vault.list())
    if (place === vaultShelf(lineage) && spki !== id) await vault.remove(place, spki)
}

function newKey(): string {
  return randomBytes(ticketKeyBytes).toString('base64')
}

function threeNew(): Secret<string> {
  return new Secret(`${newKey()}\n${newKey()}\n${newKey()}\n`)
}

/** Each moves one place on: the one to come encrypts now, and is known everywhere. */
function rotated(lines: Secret<string>): Secret<string> {
  const [, current, next] = lines.reveal().split('\n')
  return new Secret(`${current}\n${next}\n${newKey()}\n`)
}

/** A server was seen with a set; null: it has none any more. */
export async function noteHeld(store: Store, lineage: string, server: string, number: number | null): Promise<void> {
  await ticketStates(store).change(lineage, (state) => {
    if (state === null) return null
    const { [server]: _, ...others } = state.held
    return { ...state, held: number === null ? others : { ...others, [server]: number } }
  })
}

/** Its service was reloaded for the sake of that set alone. */
export async function noteReread(store: Store, lineage: string, server: string, number: number): Promise<void> {
  await ticketStates(store).change(
    lineage,
    (state) => state && { ...state, reread: { ...state.reread, [server]: number } },
  )
}

/** The fleet file asks for none, and no server that it names has one any more: nothing is left of them here either. */
export async function forgetTickets({ fleet, store, vault }: Context, { name, tickets }: Certificate): Promise<void> {
  const state = await ticketStates(store).read(name)
  if (tickets || state === null) return
  if (placements(fleet, name).some(({ server }) => state.held[server.name] !== undefined)) return
  await removeOthers(await vault(), name, null)
  await ticketStates(store).remove(name)
}

/**
 * What a session that died had recorded as meant to be written, or had not recorded as gone: a server is noted with a set
 * behind its commit, which sweeps away all others. So the older ones of the record are gone, whichever run committed.
 */
export async function settleTicketCopies(
  { ledger, store }: Pick<Context, 'ledger' | 'store'>,
  { name: lineage }: Pick<Certificate, 'name'>,
): Promise<void> {
  const state = await ticketStates(store).read(lineage)
  if (state === null) return
  const committed = new Set(Object.keys(state.held).filter((server) => state.held[server] === state.number))
  const copies = ticketCopies(await ledger.entries({ lineage }))
  for (const { server, path } of staleTicketCopies(copies, committed))
    await ledger.done({ effect: 'purge', lineage, server, path })
}

/** Behind a commit: every copy on such a server but the newest one that was seen written. Pure. */
export function staleTicketCopies(copies: readonly TicketCopy[], committed: ReadonlySet<string>): TicketCopy[] {
  return copies.filter(({ server, path }) => {
    if (!committed.has(server)) return false
    const newest = copies.findLast((each) => each.server === server && each.certain)
    return newest !== undefined && newest.path !== path
  })
}
