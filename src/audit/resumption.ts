import type { Resumption } from '../observe/resumption.ts'

/** One look: a session of one server, shown to the next one in the ring. */
export interface Passed {
  readonly from: string
  readonly to: string
  readonly protocol: string
  /** null: one of both could not be looked at. */
  readonly seen: Resumption | null
  readonly reason?: string
}

export interface RingVerdict {
  readonly verdict: 'proven' | 'drift' | 'unknown'
  /** null where it is proven. */
  readonly reason: string | null
  /** Servers with other ticket keys than the rest. */
  readonly odd: readonly string[]
}

/** Whether sessions resume across the servers of a ring, and who stands apart where they do not. Pure. */
export function judgeRing(passed: readonly Passed[]): RingVerdict {
  const failed = passed.filter(({ seen }) => seen === 'full' || seen === 'no-session')
  const resumed = passed.filter(({ seen }) => seen === 'resumed')
  if (failed.length > 0) return { verdict: 'drift', ...apart(failed, resumed) }
  const unseen = passed.find(({ seen }) => seen === null)
  if (unseen) return { verdict: 'unknown', reason: unseen.reason ?? null, odd: [] }
  if (resumed.length === 0) return { verdict: 'unknown', reason: 'they speak neither TLS 1.2 nor TLS 1.3', odd: [] }
  return { verdict: 'proven', reason: null, odd: [] }
}

function apart(failed: readonly Passed[], resumed: readonly Passed[]): Pick<RingVerdict, 'reason' | 'odd'> {
  const servers = [...new Set(failed.flatMap(({ from, to }) => [from, to]))]
  if (resumed.length === 0) {
    return { reason: `no session resumes across ${servers.join(', ')}: each has ticket keys of its own`, odd: servers }
  }
  const odd = servers.filter((server) => !resumed.some(({ from, to }) => from === server || to === server))
  if (odd.length > 0) {
    return { reason: `${odd.join(', ')} ${odd.length === 1 ? 'has' : 'have'} other ticket keys than the rest`, odd }
  }
  const ways = failed.map(({ from, to, protocol }) => `a session of ${from} does not resume on ${to} (${protocol})`)
  return { reason: ways.join(', '), odd: [] }
}
