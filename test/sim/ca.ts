import type { Window } from '../../src/issue/window.ts'

export const hourMs = 3_600_000
export const dayMs = 24 * hourMs

export interface Certificate {
  readonly names: readonly string[]
  readonly notBeforeMs: number
  readonly notAfterMs: number
}

export interface Ca {
  readonly issued: readonly (Certificate & { readonly atMs: number })[]
  /** What it refused for a rate limit. */
  readonly refused: readonly string[]
  /** From now on it does not answer, until `untilMs`. */
  stop(untilMs: number): void
  /** null: it does not answer. */
  suggest(certificate: Certificate, atMs: number): Window | null
  /** null: it does not answer, or refuses. */
  order(names: readonly string[], replaces: Certificate | null, atMs: number): Certificate | null
}

/** Where in the lifetime the suggested window begins and ends. */
export type Suggests = (certificate: Certificate) => Window

/** As Let's Encrypt does it: a fiftieth of the lifetime around two thirds, below ten days around half. */
export const usualWindow: Suggests = ({ notBeforeMs, notAfterMs }) => {
  const lifetimeMs = notAfterMs - notBeforeMs
  const idealMs = notAfterMs - lifetimeMs / (lifetimeMs < 10 * dayMs ? 2 : 3)
  return { startMs: idealMs - lifetimeMs / 100, endMs: idealMs + lifetimeMs / 100 }
}

/** A bucket that fills up again little by little. */
function bucket(count: number, windowMs: number) {
  let level = count
  let lastMs = 0
  return (atMs: number, take: boolean): boolean => {
    level = Math.min(count, level + ((atMs - lastMs) * count) / windowMs)
    lastMs = atMs
    // A millionth is what the additions above lose.
    if (level < 1 - 1e-6) return false
    if (take) level--
    return true
  }
}

function buckets(count: number, windowMs: number) {
  const all = new Map<string, ReturnType<typeof bucket>>()
  return (key: string) => {
    const known = all.get(key) ?? bucket(count, windowMs)
    all.set(key, known)
    return known
  }
}

/** A CA that keeps the limits of Let's Encrypt by its own right clock. */
export function simulatedCa(lifetimeMs: number, suggests: Suggests | null): Ca {
  const issued: (Certificate & { readonly atMs: number })[] = []
  const refused: string[] = []
  const replaced = new Set<Certificate>()
  const orders = bucket(300, 3 * hourMs)
  const domains = buckets(50, 7 * dayMs)
  const sets = buckets(5, 7 * dayMs)
  let downUntilMs = 0

  function refusal(names: readonly string[], renewal: boolean, atMs: number): string | null {
    if (!renewal && !orders(atMs, true)) return 'orders'
    const domain = names[0]?.split('.').slice(-2).join('.') ?? ''
    if (!renewal && !domains(domain)(atMs, true)) return 'domain'
    return sets(names.join())(atMs, false) ? null : 'set'
  }

  return {
    issued,
    refused,
    stop: (untilMs) => {
      downUntilMs = untilMs
    },
    suggest: (certificate, atMs) => (suggests === null || atMs < downUntilMs ? null : suggests(certificate)),
    order(names, replaces, atMs) {
      if (atMs < downUntilMs) return null
      const exempt = suggests !== null && replaces !== null && !replaced.has(replaces)
      const renewal = issued.some((each) => each.names.join() === names.join())
      const reason = exempt ? null : refusal(names, renewal, atMs)
      if (reason !== null) {
        refused.push(reason)
        return null
      }
      sets(names.join())(atMs, true)
      if (replaces) replaced.add(replaces)
      const certificate = { names, notBeforeMs: atMs - hourMs, notAfterMs: atMs - hourMs + lifetimeMs, atMs }
      issued.push(certificate)
      return certificate
    },
  }
}
