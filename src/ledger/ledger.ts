import { randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { asOnecertError } from '../base/errors.ts'
import { batched } from '../store/batch.ts'
import type { RecordRow, Store } from '../store/store.ts'
import { canonicalJson, link } from './chain.ts'
import type { EffectFields, Entry } from './entry.ts'

/** The record of what was done and where keys went. */
export interface Ledger {
  /**
   * Records the intent, runs, records the outcome; each is on disk before the next begins (I5).
   * @throws what `run` throws, after its failure was recorded
   */
  effect<T>(fields: EffectFields, run: () => Promise<T>): Promise<T>
  /** In order; optionally only those of a lineage or a server. */
  entries(filter: { readonly lineage?: string; readonly server?: string }): Promise<Entry[]>
  /** The chain itself, to be verified. */
  rows(): Promise<RecordRow[]>
}

type Written = Omit<Entry, 'seq' | 'atMs'>

export function openLedger(store: Store, { clock, actor }: { readonly clock: Clock; readonly actor: string }): Ledger {
  const append = batched<Written, RecordRow>((entries) =>
    store.appendRecord(
      entries.map((entry) => ({ atMs: clock.nowMs(), body: canonicalJson(entry) })),
      link,
    ),
  )
  return {
    async effect(fields, run) {
      const id = randomBytes(8).toString('hex')
      await append({ ...fields, id, actor, phase: 'intent' })
      try {
        const result = await run()
        await append({ ...fields, id, actor, phase: 'outcome', result: 'done' })
        return result
      } catch (thrown) {
        await append({ ...fields, id, actor, phase: 'outcome', result: 'failed', code: asOnecertError(thrown).code })
        throw thrown
      }
    },
    async entries({ lineage, server }) {
      const rows = await store.record()
      return rows
        .map(({ seq, atMs, body }) => ({ ...(JSON.parse(body) as Written), seq, atMs }))
        .filter(
          (entry) =>
            (lineage === undefined || entry.lineage === lineage) && (server === undefined || entry.server === server),
        )
    },
    rows: () => store.record(),
  }
}
