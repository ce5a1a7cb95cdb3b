import type { Certificate as Policy } from '../../src/fleet/fleet.ts'
import { type Attempts, nextAttempt } from '../../src/issue/attempt.ts'
import { type Candidate, chooseIssuer } from '../../src/issue/failover.ts'
import { budget, type Event } from '../../src/issue/limits/budget.ts'
import { letsEncrypt } from '../../src/issue/limits/letsencrypt.ts'
import { replacesOf } from '../../src/issue/predecessor.ts'
import { type Newest, renewalNeed } from '../../src/issue/renewal.ts'
import { type Look, nextLook, type Window } from '../../src/issue/window.ts'
import { type Ca, type Certificate, dayMs } from './ca.ts'

/** What one lineage is kept by, between two looks. */
export interface Lineage {
  readonly names: readonly string[]
  readonly policy: Policy
  generations: readonly Generation[]
  attempts: ReadonlyMap<string, Attempts>
  look: Look | null
  window: Window | null
}

interface Generation {
  readonly certificate: Certificate
  readonly ca: string
  /** By our clock. */
  readonly issuedAtMs: number
  readonly draw: number
  readonly newest: Newest
}

export interface Keeper {
  readonly cas: ReadonlyMap<string, Ca>
  /** By the name of the CA. */
  readonly histories: ReadonlyMap<string, Event[]>
  readonly everyMs: number
  readonly draw: () => number
  /** How often our own count held an order back. */
  held: number
}

const nothing: Attempts = { failures: 0, firstAttemptMs: 0, lastAttemptMs: 0 }

export function keeper(cas: ReadonlyMap<string, Ca>, everyMs: number, draw: () => number): Keeper {
  return { cas, histories: new Map([...cas.keys()].map((name) => [name, []])), everyMs, draw, held: 0 }
}

export function lineage(...names: string[]): Lineage {
  // A key that is never kept: what its age means is not looked at here.
  const policy: Policy = { name: 'www', names, issuers: ['first'], key: { type: 'ec-p256', keepForMs: 0 } }
  return { names, policy, generations: [], attempts: new Map(), look: null, window: null }
}

export function newestOf({ generations }: Lineage): Generation | null {
  return generations.at(-1) ?? null
}

/** Whether it wants a new certificate at this look. */
export function wants({ everyMs }: Keeper, kept: Lineage, nowMs: number): boolean {
  const generation = newestOf(kept)
  const { reason } = renewalNeed(kept.policy, generation?.newest ?? null, {
    nowMs,
    force: false,
    rekey: false,
    nextRunMs: nowMs + everyMs,
    ...(generation && { draw: generation.draw }),
    ...(kept.window && {
      suggestion: { window: kept.window, issuedAtMs: kept.generations.slice(-9).map(({ issuedAtMs }) => issuedAtMs) },
    }),
  })
  return reason !== null
}

/** One look at one lineage: `nowMs` is what our clock says, `trueMs` what the CA's says. */
export function lookAt(keeper: Keeper, kept: Lineage, nowMs: number, trueMs: number): void {
  askForWindow(keeper, kept, nowMs, trueMs)
  if (!wants(keeper, kept, nowMs)) return
  const generation = newestOf(kept)
  const notAfterMs = generation?.newest.notAfterMs ?? null
  const [first, ...rest] = [...keeper.cas.keys()].map(
    (name): Candidate => ({ name, attempts: kept.attempts.get(name) ?? nothing }),
  )
  if (!first) return
  const { name, attempts } = chooseIssuer([first, ...rest], { nowMs, notAfterMs })
  if (nextAttempt(attempts, { nowMs, notAfterMs, draw: keeper.draw() }) > nowMs) return
  order(keeper, kept, name, attempts, nowMs, trueMs)
}

function askForWindow({ cas }: Keeper, kept: Lineage, nowMs: number, trueMs: number): void {
  const generation = newestOf(kept)
  if (!generation) return
  const at = nextLook(kept.look, { nowMs, notAfterMs: generation.newest.notAfterMs })
  if (at === null || at > nowMs) return
  const window = cas.get(generation.ca)?.suggest(generation.certificate, trueMs) ?? null
  kept.look = { atMs: nowMs, retryAfterMs: null, failures: window ? 0 : (kept.look?.failures ?? 0) + 1 }
  kept.window = window ?? kept.window
}

function order(keeper: Keeper, kept: Lineage, name: string, attempts: Attempts, nowMs: number, trueMs: number): void {
  const ca = keeper.cas.get(name)
  const history = keeper.histories.get(name)
  if (!ca || !history) return
  const before = newestOf(kept)
  const id = replacesOf(
    before && { certificateId: 'id', directory: before.ca, account: before.ca, names: kept.names, replaced: false },
    { directory: name, account: name, names: kept.names, ...(kept.window && { renewalInfo: name }) },
  )
  const renewal = kept.generations.some((each) => each.ca === name)
  const wanted = { kind: 'order', account: name, names: kept.names, ari: id !== null, renewal } as const
  const reached = budget(letsEncrypt.limits, history, wanted, nowMs)
  if (reached) {
    keeper.held++
    failed(kept, name, attempts, nowMs, reached.freeAtMs)
    return
  }
  // What is older than the longest window of a limit on orders does not count any more.
  while (history[0] && history[0].atMs < nowMs - 9 * dayMs) history.shift()
  history.push({ ...wanted, atMs: nowMs })
  const certificate = ca.order(kept.names, id === null ? null : (before?.certificate ?? null), trueMs)
  if (!certificate) {
    failed(kept, name, attempts, nowMs)
    return
  }
  history.push({ ...wanted, kind: 'certificate', atMs: nowMs })
  const newest = { ...certificate, keyMadeAtMs: nowMs, chainPem: '' }
  kept.generations = [...kept.generations, { certificate, ca: name, issuedAtMs: nowMs, draw: keeper.draw(), newest }]
  kept.attempts = new Map()
  kept.look = null
  kept.window = null
}

function failed(kept: Lineage, name: string, attempts: Attempts, nowMs: number, notBeforeMs = 0): void {
  const firstAttemptMs = attempts.failures === 0 ? nowMs : attempts.firstAttemptMs
  const now = { failures: attempts.failures + 1, firstAttemptMs, lastAttemptMs: nowMs, notBeforeMs }
  kept.attempts = new Map([...kept.attempts, [name, now]])
}
