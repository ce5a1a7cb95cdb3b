import { dayMs } from '../base/clock.ts'
import { quote } from '../base/errors.ts'
import type { Certificate } from '../fleet/fleet.ts'
import { parseCertificates } from '../pki/certificate.ts'
import type { KeyType } from '../pki/key.ts'
import { isShort, lastMomentMs, lifetimeDueMs } from './lifetime.ts'
import { pointMs, type Window } from './window.ts'

/** What is known of the newest generation of a lineage. */
export interface Newest {
  readonly names: readonly string[]
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly keyMadeAtMs: number
  /** Leaf first. */
  readonly chainPem: string
}

export interface Need {
  /** Why a new certificate is wanted; null: the newest will do. */
  readonly reason: string | null
  /** With the key that there is. */
  readonly keepKey: boolean
  /** When its time is, or was, up; null: there is none yet. */
  readonly dueMs: number | null
}

export interface Circumstances {
  readonly nowMs: number
  readonly force: boolean
  readonly rekey: boolean
  /** Why it was revoked. */
  readonly revoked?: string | null
  /** From 0 to 1, uniformly random, drawn once for a certificate and kept with it. */
  readonly draw?: number
  /**
   * When this will be asked again: what becomes due before that, and within a day, is due now (RFC 9773 section 4.2, step 5).
   */
  readonly nextRunMs?: number
  /** What the CA last said of this very certificate. */
  readonly suggestion?: Suggestion
}

export interface Suggestion {
  readonly window: Window
  /** When generations of this lineage were issued, in any order: those of the last seven days count. */
  readonly issuedAtMs: readonly number[]
}

/** Who looks more rarely is not provided for: a machine that was off for long would renew what is new. */
const looksApartMaxMs = dayMs
const earlyWindowMs = 7 * dayMs
/**
 * A CA whose windows all lie in the past, by mistake, would be asked at each look. Three a week leave room for six-day
 * certificates that are revoked, and stay below the limit of five for one set of names that Let's Encrypt has.
 */
const issuedBeforeEarlyMax = 3

/** Whether a lineage needs a new certificate, and whether its key may stay. Pure. */
export function renewalNeed(
  policy: Certificate,
  newest: Newest | null,
  { nowMs, force, rekey, revoked = null, draw = 0, nextRunMs = nowMs, suggestion }: Circumstances,
): Need {
  if (newest === null) return { reason: 'there is none yet', keepKey: false, dueMs: null }
  const keepKey =
    !rekey &&
    revoked !== 'keyCompromise' &&
    nowMs < newest.keyMadeAtMs + policy.key.keepForMs &&
    hasKeyType(newest, policy.key.type)
  const everyMs = Math.min(Math.max(nextRunMs - nowMs, 0), looksApartMaxMs)
  const due = dueOf(newest, { draw, nowMs, everyMs, suggestion })
  const say = (reason: string | null): Need => ({ reason, keepKey, dueMs: due.atMs })
  if (revoked !== null) return say(`it was revoked (${revoked})`)
  if (rekey) return say('a new key was asked for')
  if (force) return say('a renewal was asked for')
  const missing = policy.names.filter((name) => !newest.names.includes(name))
  if (missing.length > 0) return say(`it does not name ${missing.join(', ')}`)
  return say(due.atMs <= nowMs + Math.max(0, everyMs - 1) ? due.reason : null)
}

interface Due {
  readonly atMs: number
  readonly reason: string
}

/** The CA's window may bring a renewal forward; it never puts it off. */
function dueOf(
  newest: Newest,
  {
    draw,
    nowMs,
    everyMs,
    suggestion,
  }: {
    readonly draw: number
    readonly nowMs: number
    readonly everyMs: number
    readonly suggestion: Suggestion | undefined
  },
): Due {
  const lifetime = {
    atMs: lifetimeDueMs(newest, draw, everyMs),
    reason: lifetimeReason(newest, nowMs),
  }
  const suggestedMs = suggestion ? pointMs(suggestion.window, draw, lastMomentMs(newest, everyMs)) : null
  if (!suggestion || suggestedMs === null) return lifetime
  const issued = suggestion.issuedAtMs.filter((atMs) => atMs > nowMs - earlyWindowMs).length
  if (suggestedMs < lifetime.atMs && issued >= issuedBeforeEarlyMax) return lifetime
  const { explanationUrl } = suggestion.window
  // RFC 9773 section 4.2: the operator should get to see why.
  const why = explanationUrl ? ` (${quote(explanationUrl, 200)})` : ''
  return { atMs: suggestedMs, reason: `its CA asks for a renewal now${why}` }
}

function lifetimeReason(newest: Newest, nowMs: number): string {
  if (isShort(newest)) return 'it is in the last half of its lifetime'
  const { notBeforeMs, notAfterMs } = newest
  return nowMs < notAfterMs - (notAfterMs - notBeforeMs) / 3
    ? 'what is left of its lifetime is for trying again'
    : 'it is in the last third of its lifetime'
}

function hasKeyType({ chainPem }: Newest, type: KeyType): boolean {
  const [leaf] = parseCertificates(Buffer.from(chainPem), { file: 'the newest generation' })
  return leaf?.keyType === type
}
