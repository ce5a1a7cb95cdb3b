import { dayMs } from '../../base/clock.ts'
import type { CountedOrder, Event } from '../limits/budget.ts'
import { keepWithin } from '../limits/budget.ts'
import { limitsOf } from '../limits/limits-of.ts'
import { type Notes, type Shelf, shelf } from '../notes.ts'

/** Of the windows of known limits the longest is seven days; only failed proofs are counted for years. */
const keptMs = 8 * dayMs
const failureKeptMs = 1_160 * dayMs
const eventsMax = 20_000

/** What we did at a CA, by the URL of its directory: its limits are counted before it is asked. */
export interface History {
  /** @throws OnecertError ACME_BUDGET: the CA was not asked */
  keepWithin(wanted: CountedOrder, nowMs: number): Promise<void>
  add(...events: readonly Event[]): Promise<void>
}

export function historyAt(directory: string, notes: Notes): History {
  const events: Shelf<readonly Event[]> = shelf(notes, 'acme-history')
  const limits = limitsOf(directory)
  return {
    async keepWithin(wanted, nowMs) {
      if (limits) keepWithin(limits.limits, (await events.read(directory)) ?? [], wanted, nowMs)
    },
    async add(...more) {
      // A CA without known limits needs no history.
      if (!limits) return
      const nowMs = Math.max(...more.map(({ atMs }) => atMs))
      const counts = (event: Event) =>
        event.atMs > nowMs - (event.kind === 'authorization' && event.failed ? failureKeptMs : keptMs)
      await events.change(directory, (known) => [...(known ?? []).filter(counts), ...more].slice(-eventsMax))
    },
  }
}
