import { createHash } from 'node:crypto'
import type { Desired } from '../audit/desired.ts'
import type { Certificate } from '../fleet/fleet.ts'
import { fingerprintsOf } from './chain.ts'
import type { Context } from './context.ts'
import { revocationOf } from './revoke.ts'

/** What should be, as the store has it. */
export async function desiredOf(context: Context, { name }: Certificate, nowMs: number): Promise<Desired> {
  const { store } = context
  const generations = await store.generations(name)
  const newest = await store.newestGeneration(name)
  return {
    certificate: name,
    newest: newest && {
      number: newest.number,
      chain: fingerprintsOf(newest),
      spki: newest.spki,
      notBeforeMs: newest.notBeforeMs,
      notAfterMs: newest.notAfterMs,
      chainHash: createHash('sha256').update(newest.chainPem).digest('hex'),
    },
    numbers: new Map(generations.map(({ fingerprint, number }) => [fingerprint, number])),
    generations: new Map(
      await Promise.all(
        generations.map(async (row) => {
          // What has expired is told as such.
          const revoked = row.notAfterMs > nowMs ? await revocationOf(context, row) : null
          const known = { notBeforeMs: row.notBeforeMs, revoked }
          return [row.number, known] as const
        }),
      ),
    ),
    keys: new Set(generations.map(({ spki }) => spki)),
  }
}
