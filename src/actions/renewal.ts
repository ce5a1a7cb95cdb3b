import { dayMs } from '../base/clock.ts'
import { fail, OnecertError } from '../base/errors.ts'
import type { Certificate, Issuer } from '../fleet/fleet.ts'
import { certificateId } from '../issue/acme/certificate-id.ts'
import { acmeProblemOf } from '../issue/acme/problem.ts'
import { openAccount } from '../issue/acme/registration.ts'
import { type Attempts, nextAttempt } from '../issue/attempt.ts'
import { type Candidate, chooseIssuer } from '../issue/failover.ts'
import { exhaustedOf } from '../issue/limits/budget.ts'
import type { Circumstances } from '../issue/renewal.ts'
import { noAttempts, type RenewalState, renewalStates, stateOf } from '../issue/renewal-state.ts'
import { nextLook, type Window } from '../issue/window.ts'
import { minute } from '../pki/text.ts'
import type { GenerationRow } from '../store/store.ts'
import { acmeTools } from './account.ts'
import { leafOf } from './chain.ts'
import type { Context } from './context.ts'

/** A CA that does not say when it wants a renewal holds nothing up. */
const lookWithinMs = 10_000

/**
 * What is known about the renewal of the newest certificate; where its CA has not been asked for a while when it wants it
 * renewed, it is asked now (RFC 9773).
 */
export async function renewalOf(
  context: Context,
  { name: lineage }: Certificate,
  newest: GenerationRow | null,
): Promise<RenewalState> {
  const states = renewalStates(context.store)
  const known = await states.read(lineage)
  const state = stateOf(known, newest?.fingerprint ?? null, Math.random())
  const asked = newest ? await askWindow(context, newest, state) : state
  if (asked === known) return asked
  const { draw, look, window } = asked
  // Somebody else may have noted a failure meanwhile.
  const written = await states.change(lineage, (now) => ({ ...stateOf(now, state.fingerprint, draw), look, window }))
  return written ?? asked
}

async function askWindow(context: Context, newest: GenerationRow, state: RenewalState): Promise<RenewalState> {
  const spec = context.fleet.issuers.get(newest.issuer)
  const nowMs = context.clock.nowMs()
  const dueMs = nextLook(state.look, { nowMs, notAfterMs: newest.notAfterMs })
  if (spec?.kind !== 'acme' || dueMs === null || dueMs > nowMs) return state
  const failures = (state.look?.failures ?? 0) + 1
  try {
    const { client } = await openAccount(spec, { ...(await acmeTools(context)), withinMs: lookWithinMs })
    const info = await client.renewalInfo(certificateId(leafOf(newest).der))
    const window: Window | null = info && {
      startMs: info.startMs,
      endMs: info.endMs,
      explanationUrl: info.explanationUrl,
    }
    return { ...state, window, look: { atMs: nowMs, retryAfterMs: info?.retryAfterMs ?? null, failures: 0 } }
  } catch {
    context.signal.throwIfAborted()
    // The window that it gave before stands; how often it did not answer decides when it is asked again.
    return { ...state, look: { atMs: nowMs, retryAfterMs: null, failures } }
  }
}

/** What decides whether the lineage is due, but for what a person asks for. */
export async function circumstances(
  { store, clock }: Pick<Context, 'store' | 'clock'>,
  lineage: string,
  { draw, window, askedAtMs }: RenewalState,
): Promise<Circumstances> {
  const nowMs = clock.nowMs()
  // The next run is as far away as the last one: so it is with a timer.
  const nextRunMs = nowMs + (askedAtMs === undefined ? 0 : nowMs - askedAtMs)
  const asked = { nowMs, force: false, rekey: false, draw, nextRunMs }
  if (window === null) return asked
  const issuedAtMs = (await store.generations(lineage)).map(({ createdAtMs }) => createdAtMs)
  return { ...asked, suggestion: { window, issuedAtMs } }
}

/** The issuer whose turn it is: the first of the certificate, as long as it does not stay down. */
export function nextIssuer(
  { fleet, clock }: Context,
  { issuers }: Certificate,
  newest: GenerationRow | null,
  { attempts }: RenewalState,
): Issuer {
  const [first = '', ...others] = issuers
  const candidate = (name: string): Candidate => ({ name, attempts: attempts[name] ?? noAttempts })
  const { name } = chooseIssuer([candidate(first), ...others.map(candidate)], {
    nowMs: clock.nowMs(),
    notAfterMs: newest?.notAfterMs ?? null,
  })
  return fleet.issuers.get(name) ?? fail('ISSUER_UNKNOWN', { what: `no issuer "${name}" in the fleet file` })
}

/** Why an issuer is not asked now: it failed a moment ago, or said until when it will not answer; null: it is asked. */
export function notYet(
  issuer: string,
  newest: GenerationRow | null,
  { attempts, draw }: RenewalState,
  nowMs: number,
): OnecertError | null {
  const failed = attempts[issuer]
  if (!failed) return null
  // Without a certificate a person waits for the first one: only what the CA says holds it up.
  const atMs = newest
    ? nextAttempt(failed, { nowMs, notAfterMs: newest.notAfterMs, draw })
    : Math.min(failed.notBeforeMs ?? 0, failed.lastAttemptMs + 7 * dayMs)
  if (atMs <= nowMs) return null
  const times = failed.failures === 1 ? 'once' : `${failed.failures} times`
  return new OnecertError('ISSUE_LATER', {
    what: `${issuer} is not asked for a new certificate before ${minute(atMs)}`,
    fact: `it failed ${times}, last at ${minute(failed.lastAttemptMs)}: ${failed.code} ${failed.what}`,
    state: newest ? 'the certificate that is there is still good, and stands' : 'there is no certificate yet',
    next: 'wait; or, when the cause is mended: onecert issue --force',
  })
}

/** A run that would renew what is due was here. */
export async function noteRun(
  { store, clock }: Context,
  lineage: string,
  { fingerprint, draw }: RenewalState,
): Promise<void> {
  const askedAtMs = clock.nowMs()
  await renewalStates(store).change(lineage, (known) => ({ ...stateOf(known, fingerprint, draw), askedAtMs }))
}

/** What is counted of a failed attempt until there is another certificate. */
export async function noteFailure(
  { store, clock }: Context,
  lineage: string,
  issuer: string,
  state: RenewalState,
  error: OnecertError,
): Promise<void> {
  const nowMs = clock.nowMs()
  const notBeforeMs = acmeProblemOf(error)?.notBeforeMs ?? exhaustedOf(error)?.freeAtMs ?? null
  await renewalStates(store).change(lineage, (known) => {
    const now = stateOf(known, state.fingerprint, state.draw)
    const before: Attempts = now.attempts[issuer] ?? { ...noAttempts, firstAttemptMs: nowMs }
    const failed = {
      failures: before.failures + 1,
      firstAttemptMs: before.firstAttemptMs,
      lastAttemptMs: nowMs,
      ...(notBeforeMs !== null && { notBeforeMs }),
      code: error.code,
      what: error.failure.what,
    }
    return { ...now, attempts: { ...now.attempts, [issuer]: failed } }
  })
}
