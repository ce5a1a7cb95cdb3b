import { randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { asOnecertError, withOthers } from '../base/errors.ts'
import type { RecordRow, Store } from '../store/store.ts'
import { canonicalJson, link } from './chain.ts'
import type { EffectFields, Entry } from './entry.ts'

/** The record of what was done and where keys went. */
export interface Ledger {
  /**
   * Records the intent, runs, records the outcome (I5). The intent is on disk before `run` begins, the outcome before the
   * next intent is: a flush of the disk costs more than many an effect. `learned`: what only the outcome can tell.
   * @throws what `run` throws, after its failure was recorded, or with the reason why it was not; STATE_* where an intent or
   * an earlier outcome was not written
   */
  effect<T>(fields: EffectFields, run: () => Promise<T>, learned?: (result: T) => Pick<EffectFields, 'way'>): Promise<T>
  /** Records an effect that is there already: the server brought it about, or nothing is left to be done for it. */
  done(fields: EffectFields): Promise<void>
  /** All outcomes so far are on disk. */
  settled(): Promise<void>
  /** In order; optionally only those of a lineage or a server. */
  entries(filter: { readonly lineage?: string; readonly server?: string }): Promise<Entry[]>
  /** The chain itself, to be verified. */
  rows(): Promise<RecordRow[]>
}

type Written = Omit<Entry, 'seq' | 'atMs'>

export function openLedger(store: Store, { clock, actor }: { readonly clock: Clock; readonly actor: string }): Ledger {
  const append = (entry: Written) => store.appendRecord([{ atMs: clock.nowMs(), body: canonicalJson(entry) }], link)
  let outcomes: Promise<void> = Promise.resolve()
  /** The store writes in the order of the calls: an outcome is on disk before any later intent is. */
  const appendOutcome = (entry: Written) => {
    const written = append(entry)
    // Of what was written nothing is kept: a daemon does this for ever.
    outcomes = Promise.all([outcomes, written]).then(() => {})
    outcomes.catch(() => {})
  }
  const effect: Ledger['effect'] = async (fields, run, learned) => {
    const id = randomBytes(8).toString('hex')
    await Promise.all([outcomes, append({ ...fields, id, actor, phase: 'intent' })])
    try {
      const result = await run()
      appendOutcome({ ...fields, ...learned?.(result), id, actor, phase: 'outcome', result: 'done' })
      return result
    } catch (thrown) {
      const { code } = asOnecertError(thrown)
      await append({ ...fields, id, actor, phase: 'outcome', result: 'failed', code }).catch((unrecorded) => {
        throw withOthers(asOnecertError(thrown), [asOnecertError(unrecorded)])
      })
      throw thrown
    }
  }
  return {
    effect,
    done: (fields) => effect(fields, async () => {}),
    async settled() {
      await outcomes
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
