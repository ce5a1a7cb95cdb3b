import { fail, quote } from '../base/errors.ts'
import { lineagesOn } from '../fleet/placement.ts'
import { keyCopies } from '../ledger/keycopies.ts'
import { receiverFor } from '../rollout/receiver.ts'
import { chosenServer } from './choice.ts'
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
  const server = chosenServer(context.fleet, name)
  const receiver = receiverFor(context.fleet, server, 'removal')
  const connection = await context
    .reachOf(server)
    .open(server, { receiver, carriesKey: false, timeoutMs, signal: context.signal })
  const paths: string[] = []
  const ticketsKept: string[] = []
  let released = 0
  try {
    for (const lineage of lineagesOn(context.fleet, name)) {
      const files = server.files.get(lineage)
      const tickets = (await ticketStates(context.store).read(lineage))?.held[name]
      if (!files && tickets === undefined) continue
      const facts = await withLease(context, lineage, (token) =>
        context.ledger.effect({ effect: 'release', server: name, lineage, token }, async () => {
          const answer = await connection.request('release', [lineage, String(token)])
          if (!answer.ok) {
            fail(answer.code ?? 'RECEIVER_PROTOCOL', {
              what: `releasing the files of ${lineage} on ${name} failed`,
              fact: answer.output.map((line) => quote(line, 200)).join('; '),
              state: 'each path is either the link that it was or the plain file',
              next: `onecert server release ${name}`,
            })
          }
          return answer.facts
        }),
      )
      const given = Number(facts.get('released'))
      released += given
      if (facts.get('tickets') === 'kept') ticketsKept.push(lineage)
      else if (tickets !== undefined) await noteHeld(context.store, lineage, name, null)
      for (const set of (facts.get('zeroed') ?? '').split(',').filter(Boolean)) {
        const purged = {
          effect: 'purge',
          server: name,
          lineage,
          path: `${server.directory}/${lineage}/${set}`,
        } as const
        await context.ledger.effect(purged, async () => undefined)
      }
      if (!files) continue
      const path = files.key ?? files.combined
      if (given > 0 && path) {
        const spki = await currentKey(context, lineage, name)
        const copy = {
          effect: 'key-copy',
          server: name,
          lineage,
          path,
          way: `on ${name}`,
          ...(spki && { spki }),
        } as const
        await context.ledger.effect(copy, async () => undefined)
      }
      paths.push(...[files.chain, files.key, files.combined].flatMap((path) => path ?? []))
    }
  } finally {
    await connection.close()
  }
  return { paths, released, ticketsKept }
}

/** The SPKI of the key that a server reads now, as far as the record knows. */
async function currentKey({ store, ledger }: Context, lineage: string, server: string): Promise<string | undefined> {
  const generation = (await store.committedGenerations(lineage)).get(server)
  const copies = keyCopies(await ledger.entries({ lineage, server }))
  return copies.find((copy) => copy.generation === generation)?.spki
}
