import type { Context } from './context.ts'

const lifetimeMs = 60_000
const renewEveryMs = 20_000

/** One writer per lineage (I4): runs with the lease and its fencing token; loses the signal with the lease. */
export async function withLease<T>(
  context: Context,
  lineage: string,
  run: (token: number, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { store, clock, holder } = context
  const { token } = await store.acquireLease(lineage, { holder, nowMs: clock.nowMs(), lifetimeMs })
  const lost = new AbortController()
  const timer = setInterval(() => {
    store.renewLease(lineage, token, { nowMs: clock.nowMs(), lifetimeMs }).catch((error: unknown) => lost.abort(error))
  }, renewEveryMs)
  timer.unref()
  try {
    return await run(token, AbortSignal.any([context.signal, lost.signal]))
  } finally {
    clearInterval(timer)
    await store.releaseLease(lineage, token)
  }
}
