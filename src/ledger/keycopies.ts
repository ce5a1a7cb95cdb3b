import type { Entry } from './entry.ts'

/** One place where a private key exists. */
export interface KeyCopy {
  readonly server: string
  readonly lineage: string
  readonly path: string
  readonly spki: string
  readonly generation: number | null
  readonly sinceMs: number
  readonly way: string | null
  /** False: it was meant to be written, and nobody knows whether it was. */
  readonly certain: boolean
}

/** One place where session ticket keys exist: a folder on a server. */
export interface TicketCopy extends Omit<KeyCopy, 'spki' | 'generation'> {
  readonly ticketSet: number
  readonly ticketHash: string
}

/** The key copies that exist, from the record: those that were written, or may have been, and were not purged or lost. Pure. */
export function keyCopies(entries: readonly Entry[]): KeyCopy[] {
  return [...copiesAndLost(entries, 'key-copy').copies.values()].map(keyCopy)
}

/** Those on servers that could not be reached any more: nobody saw them go. Pure. */
export function lostCopies(entries: readonly Entry[]): KeyCopy[] {
  return [...copiesAndLost(entries, 'key-copy').lost.values()].map(keyCopy)
}

/** The session ticket keys that exist, in the same way. Pure. */
export function ticketCopies(entries: readonly Entry[]): TicketCopy[] {
  return [...copiesAndLost(entries, 'ticket-copy').copies.values()].map(ticketCopy)
}

/** Those on servers that could not be reached any more. Pure. */
export function lostTicketCopies(entries: readonly Entry[]): TicketCopy[] {
  return [...copiesAndLost(entries, 'ticket-copy').lost.values()].map(ticketCopy)
}

interface Copy {
  readonly place: Omit<KeyCopy, 'spki' | 'generation'>
  /** What was recorded of it. */
  readonly entry: Entry
}

function keyCopy({ place, entry }: Copy): KeyCopy {
  return { ...place, spki: entry.spki ?? '', generation: entry.generation ?? null }
}

function ticketCopy({ place, entry }: Copy): TicketCopy {
  return { ...place, ticketSet: entry.ticketSet ?? 0, ticketHash: entry.ticketHash ?? '' }
}

function copiesAndLost(
  entries: readonly Entry[],
  kind: 'key-copy' | 'ticket-copy',
): Record<'copies' | 'lost', Map<string, Copy>> {
  const copies = new Map<string, Copy>()
  const lost = new Map<string, Copy>()
  const outcomes = new Map(
    entries.flatMap((entry) => (entry.phase === 'outcome' ? [[entry.id, entry.result] as const] : [])),
  )
  for (const entry of entries) {
    const { effect, phase, server, path } = entry
    if (server === undefined || path === undefined) continue
    const place = `${server} ${path}`
    if (effect === kind && phase === 'intent') {
      const result = outcomes.get(entry.id)
      // A failure may have come after the write: only a later success or purge settles it.
      const known = copies.get(place)
      if (result !== 'done' && known?.place.certain) continue
      if (result === 'done') lost.delete(place)
      copies.set(place, {
        place: {
          server,
          lineage: entry.lineage ?? '',
          path,
          sinceMs: entry.atMs,
          way: entry.way ?? null,
          certain: result === 'done',
        },
        entry,
      })
    }
    if (phase !== 'outcome' || entry.result !== 'done') continue
    const copy = copies.get(place)
    if (effect === 'lost' && copy) lost.set(place, copy)
    if (effect === 'lost' || effect === 'purge') copies.delete(place)
    if (effect === 'purge') lost.delete(place)
  }
  return { copies, lost }
}
