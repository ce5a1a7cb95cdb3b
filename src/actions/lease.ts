import type { Context } from './context.ts'

const lifetimeMs = 60_000
const renewEveryMs = 20_000

/** All of the leases, or none of them. */
export function withLeases<T>(
  context: Context,
  [first, ...others]: readonly string[],
  run: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  if (first === undefined) return run(context.signal)
  return withLease(context, first, (_, signal) => withLeases({ ...context, signal }, others, run))
}

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
