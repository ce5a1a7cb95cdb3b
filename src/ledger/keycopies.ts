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

/** The key copies that exist, from the record: those that were written, or may have been, and were not purged or lost. Pure. */
export function keyCopies(entries: readonly Entry[]): KeyCopy[] {
  return [...copiesAndLost(entries).copies.values()]
}

/** Those on servers that could not be reached any more: nobody saw them go. Pure. */
export function lostCopies(entries: readonly Entry[]): KeyCopy[] {
  return [...copiesAndLost(entries).lost.values()]
}

function copiesAndLost(entries: readonly Entry[]): Record<'copies' | 'lost', Map<string, KeyCopy>> {
  const copies = new Map<string, KeyCopy>()
  const lost = new Map<string, KeyCopy>()
  const outcomes = new Map(
    entries.flatMap((entry) => (entry.phase === 'outcome' ? [[entry.id, entry.result] as const] : [])),
  )
  for (const entry of entries) {
    const { effect, phase, server, path } = entry
    if (server === undefined || path === undefined) continue
    const place = `${server} ${path}`
    if (effect === 'key-copy' && phase === 'intent') {
      const result = outcomes.get(entry.id)
      // A failure may have come after the write: only a later success or purge settles it.
      const known = copies.get(place)
      if (result !== 'done' && known?.certain) continue
      if (result === 'done') lost.delete(place)
      copies.set(place, {
        server,
        lineage: entry.lineage ?? '',
        path,
        spki: entry.spki ?? '',
        generation: entry.generation ?? null,
        sinceMs: entry.atMs,
        way: entry.way ?? null,
        certain: result === 'done',
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
