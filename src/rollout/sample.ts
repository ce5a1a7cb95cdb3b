import { servedWrong } from '../observe/served.ts'
import type { Generation } from './generation.ts'

/** What was seen through a balancer in a number of fresh connections. */
export interface Sample {
  readonly connections: number
  /** By what was served, the most frequent first. */
  readonly seen: readonly Seen[]
  /** Connections that showed nothing. */
  readonly failed: number
  /** Why the last of them did. */
  readonly failure: string | null
}

export interface Seen {
  /** SHA-256 of the leaf, lower hex. */
  readonly fingerprint: string
  readonly connections: number
  /** Why it is not what should be served; null: it is. */
  readonly wrong: string | null
}

/** The share of samples that may miss a member. */
const missed = 0.01
const connectionsMin = 8
const connectionsMax = 200

/**
 * How many connections meet each member at least once in 99 of 100 samples, where each goes to any of them alike. One of m
 * is missed by k connections with probability (1 - 1/m)^k, any of them with at most m times that: k = ln(m/0.01) / ln(m/(m-1)).
 * m is one more than the fleet file has: for the one that it does not know. Above 24 members (200
 * connections) the sample stays as it is, and meets fewer of them.
 */
export function sampleSize(members: number): number {
  const all = members + 1
  const wanted = Math.ceil(Math.log(all / missed) / Math.log(all / members))
  return Math.min(connectionsMax, Math.max(connectionsMin, wanted))
}

/** One fresh connection. */
export interface SampleLook {
  /** SHA-256 of each certificate that it showed, lower hex, leaf first; null: it showed none. */
  readonly chain: readonly string[] | null
  readonly failure: string | null
}

/** Counts what was served, beside a generation, or none where nothing was issued yet. A connection that showed nothing has no chain. */
export function countSample(looks: readonly SampleLook[], generation: Pick<Generation, 'chain'> | null): Sample {
  const seen = new Map<string, Seen>()
  for (const { chain } of looks) {
    if (chain === null) continue
    const [fingerprint = ''] = chain
    const wrong = generation ? servedWrong(chain, generation) : 'nothing was issued yet'
    // The same leaf may come with the right chain and with a wrong one.
    const key = `${fingerprint} ${wrong}`
    seen.set(key, { fingerprint, wrong, connections: (seen.get(key)?.connections ?? 0) + 1 })
  }
  const failures = looks.flatMap(({ failure }) => failure ?? [])
  return {
    connections: looks.length,
    seen: [...seen.values()].sort((left, right) => right.connections - left.connections),
    failed: failures.length,
    failure: failures.at(-1) ?? null,
  }
}

/** `24 × bd3a261b`, or `22 × bd3a261b, 2 × 0f3ab210 (serves 0f3ab210, expected bd3a261b)`. */
export function sampleText({ seen, failed, failure }: Sample): string {
  const counted = seen.map(
    ({ fingerprint, connections, wrong }) =>
      `${connections} × ${fingerprint.slice(0, 8)}${wrong === null ? '' : ` (${wrong})`}`,
  )
  return [...counted, ...(failed > 0 ? [`${failed} showed nothing (${failure})`] : [])].join(', ')
}
