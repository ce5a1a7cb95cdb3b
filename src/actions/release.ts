import { fail } from '../base/errors.ts'
import type { Server } from '../fleet/fleet.ts'
import { lineagesOn } from '../fleet/placement.ts'
import { keyCopies } from '../ledger/keycopies.ts'
import { type Connection, factList, outputText } from '../reach/connection.ts'
import { receiverFor } from '../rollout/receiver.ts'
import { chosenServer } from './choice.ts'
import { withConnection } from './connection.ts'
import type { Context } from './context.ts'
import { withLease } from './lease.ts'
import { noteHeld, ticketStates } from './tickets.ts'

export interface Released {
  /** The explicit paths that the fleet file names there. */
  readonly paths: readonly string[]
  /** How many of them were links of ours; the others were plain files already, or not there. */
  readonly released: number
  /** Certificates whose session ticket keys stay: the service's configuration names them. */
  readonly ticketsKept: readonly string[]
}

/** Gives explicit paths back: plain files with the bytes that are current, where onecert's links were. */
export async function release(context: Context, name: string, timeoutMs: number): Promise<Released> {
  const { fleet } = context
  const server = chosenServer(fleet, name)
  const all: Released[] = []
  const work = async (connection: Connection) => {
    for (const lineage of lineagesOn(fleet, name)) all.push(await releaseLineage(context, connection, server, lineage))
  }
  await withConnection(context, server, receiverFor(fleet, server, 'removal'), work, timeoutMs)
  return {
    paths: all.flatMap(({ paths }) => paths),
    released: all.reduce((sum, { released }) => sum + released, 0),
    ticketsKept: all.flatMap(({ ticketsKept }) => ticketsKept),
  }
}

async function releaseLineage(
  context: Context,
  connection: Connection,
  server: Server,
  lineage: string,
): Promise<Released> {
  const { store, ledger } = context
  const { name } = server
  const files = server.files.get(lineage)
  const tickets = (await ticketStates(store).read(lineage))?.held[name]
  if (!files && tickets === undefined) return { paths: [], released: 0, ticketsKept: [] }
  const facts = await withLease(context, lineage, (token) =>
    ledger.effect({ effect: 'release', server: name, lineage, token }, async () => {
      const answer = await connection.request('release', [lineage, String(token)])
      if (!answer.ok) {
        fail(answer.code ?? 'RECEIVER_PROTOCOL', {
          what: `releasing the files of ${lineage} on ${name} failed`,
          fact: outputText(answer, '; '),
          state: 'each path is either the link that it was or the plain file',
          next: `onecert server release ${name}`,
        })
      }
      return answer.facts
    }),
  )
  const released = Number(facts.get('released'))
  const kept = facts.get('tickets') === 'kept'
  if (!kept && tickets !== undefined) await noteHeld(store, lineage, name, null)
  for (const set of factList(facts, 'zeroed'))
    await ledger.done({ effect: 'purge', server: name, lineage, path: `${server.directory}/${lineage}/${set}` })
  const path = files?.key ?? files?.combined
  if (released > 0 && path) {
    const spki = await currentKey(context, lineage, name)
    await ledger.done({ effect: 'key-copy', server: name, lineage, path, way: `on ${name}`, ...(spki && { spki }) })
  }
  return {
    paths: [files?.chain, files?.key, files?.combined].flatMap((each) => each ?? []),
    released,
    ticketsKept: kept ? [lineage] : [],
  }
}

/** The SPKI of the key that a server reads now, as far as the record knows. */
async function currentKey({ store, ledger }: Context, lineage: string, server: string): Promise<string | undefined> {
  const generation = (await store.committedGenerations(lineage)).get(server)
  const copies = keyCopies(await ledger.entries({ lineage, server }))
  return copies.find((copy) => copy.generation === generation)?.spki
}
