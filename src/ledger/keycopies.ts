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

/** The key copies that exist, from the record: those that were written, or may have been, and were not purged. Pure. */
export function keyCopies(entries: readonly Entry[]): KeyCopy[] {
  const copies = new Map<string, KeyCopy>()
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
    if (effect === 'purge' && phase === 'outcome' && entry.result === 'done') copies.delete(place)
  }
  return [...copies.values()]
}
