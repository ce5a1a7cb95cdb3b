import { fail, quote } from '../../base/errors.ts'
import { nameSet } from '../../pki/names.ts'
import type { Limit } from './limit.ts'
import { registeredDomain } from './registered-domain.ts'

/** What was done at a CA, or is wanted there. */
export interface CountedOrder {
  readonly kind: 'order'
  readonly account: string
  readonly names: readonly string[]
  /** Whether it says what it replaces (RFC 9773 section 5). */
  readonly ari: boolean
  /** Whether this CA issued a certificate for exactly these names before. */
  readonly renewal: boolean
}

export interface Registration {
  readonly kind: 'registration'
}

/** An order that was made, one that led to a certificate, an authorization, a new account. */
export type Event = { readonly atMs: number } & (
  | CountedOrder
  | (Omit<CountedOrder, 'kind'> & { readonly kind: 'certificate' })
  | { readonly kind: 'authorization'; readonly account: string; readonly name: string; readonly failed: boolean }
  | Registration
)

export interface Exhausted {
  readonly limit: string
  /** The domain, the names, the account that it is reached for. */
  readonly of: string
  /** How many are counted, and how many may be. */
  readonly count: number
  readonly countMax: number
  /** When there is room for one again. */
  readonly freeAtMs: number
}

/**
 * Whether what is wanted stays within the limits of a CA, by what we did there; null: it does. Where several limits are
 * reached, the one that is free last. It knows nothing of what others did for the same domain.
 */
export function budget(
  limits: readonly Limit[],
  history: readonly Event[],
  wanted: CountedOrder | Registration,
  nowMs: number,
): Exhausted | null {
  const reached = limits
    .filter((limit) => !isLet(limit, wanted))
    .flatMap((limit) => bucketsOf(limit, wanted).map((bucket) => exhausted(limit, bucket, history, nowMs)))
    .filter((each) => each !== null)
  return reached.toSorted((left, right) => right.freeAtMs - left.freeAtMs)[0] ?? null
}

class BudgetReached extends Error {
  readonly exhausted: Exhausted

  constructor(exhausted: Exhausted) {
    super(exhausted.limit)
    this.exhausted = exhausted
  }
}

const causesMax = 8

/** The limit, where that is why something failed; else null. */
export function exhaustedOf(thrown: unknown): Exhausted | null {
  for (let error = thrown, depth = 0; error instanceof Error && depth < causesMax; error = error.cause, depth++)
    if (error instanceof BudgetReached) return error.exhausted
  return null
}

/**
 * @throws OnecertError ACME_BUDGET; its limit: exhaustedOf()
 */
export function keepWithin(
  limits: readonly Limit[],
  history: readonly Event[],
  wanted: CountedOrder | Registration,
  nowMs: number,
): void {
  const reached = budget(limits, history, wanted, nowMs)
  if (reached === null) return
  fail('ACME_BUDGET', {
    what: `the CA would refuse this: ${reached.limit}`,
    fact: `${reached.count} of ${reached.countMax} are counted for ${quote(reached.of)}`,
    state: 'the CA was not asked',
    next: `wait until ${new Date(reached.freeAtMs).toISOString()}`,
    cause: new BudgetReached(reached),
  })
}

function isLet(limit: Limit, wanted: CountedOrder | Registration): boolean {
  return (
    wanted.kind === 'order' &&
    limit.lets.some((kind) => (kind === 'ari' && wanted.ari) || (kind === 'renewal' && wanted.renewal))
  )
}

/** The buckets that something is taken out of, or that have to have room for it. */
function bucketsOf(limit: Limit, wanted: CountedOrder | Registration): string[] {
  if (wanted.kind === 'registration') return limit.counts === 'accounts' ? ['this machine'] : []
  return limit.counts === 'accounts' ? [] : bucketsOfOrder(limit, wanted)
}

function bucketsOfOrder(limit: Limit, { account, names }: Omit<CountedOrder, 'kind'>): string[] {
  switch (limit.per) {
    case 'account':
      return [account]
    case 'set of names':
      return [nameSet(names)]
    case 'registered domain':
      return [...new Set(names.map(registeredDomain))]
    case 'name':
      return names.map((name) => nameOf(account, name))
    case 'address':
      return []
  }
}

/** A wildcard is proved as the name below it. */
const nameOf = (account: string, name: string) => `${name.toLowerCase().replace(/^\*\./, '')} (${account})`

type Effect = 'takes' | 'fills' | null

function effectOf(limit: Limit, bucket: string, event: Event): Effect {
  switch (event.kind) {
    case 'registration':
      return limit.counts === 'accounts' ? 'takes' : null
    case 'authorization': {
      if (limit.counts !== 'failed authorizations' || nameOf(event.account, event.name) !== bucket) return null
      if (event.failed) return 'takes'
      return limit.forgets ? 'fills' : null
    }
    case 'order':
    case 'certificate': {
      const counted = event.kind === 'order' ? 'orders' : 'certificates'
      if (limit.counts !== counted || !bucketsOfOrder(limit, event).includes(bucket)) return null
      // What replaces a certificate is let through, but counted where its names are; a plain renewal is not counted.
      return event.renewal && limit.lets.includes('renewal') ? null : 'takes'
    }
  }
}

/**
 * A bucket as its theoretical arrival time (GCRA), which Let's Encrypt uses: the moment at which it is full again. There is
 * room for one as long as that, with one more, is at most a window away.
 */
function exhausted(limit: Limit, bucket: string, history: readonly Event[], nowMs: number): Exhausted | null {
  const eachMs = limit.windowMs / limit.count
  let fullMs = 0
  const effects = history.flatMap((event) => {
    const effect = effectOf(limit, bucket, event)
    // What lies in the future was written by a clock that was wrong.
    return effect === null ? [] : [{ effect, atMs: Math.min(event.atMs, nowMs) }]
  })
  for (const { effect, atMs } of effects.toSorted((left, right) => left.atMs - right.atMs)) {
    fullMs = effect === 'fills' ? 0 : Math.max(fullMs, atMs) + eachMs
  }
  const freeAtMs = Math.ceil(fullMs + eachMs - limit.windowMs)
  if (freeAtMs <= nowMs) return null
  const count = Math.ceil((fullMs - nowMs) / eachMs)
  return { limit: limit.name, of: bucket, count, countMax: limit.count, freeAtMs }
}
