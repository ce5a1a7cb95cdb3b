import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Certificate } from '../../src/fleet/fleet.ts'
import { type Newest, renewalNeed } from '../../src/issue/renewal.ts'
import { vector } from '../pki/vectors.ts'

const dayMs = 86_400_000
const start = Date.UTC(2027, 0, 1)
const day = (count: number) => start + count * dayMs

const policy: Certificate = {
  name: 'www',
  names: ['www.example', 'shop.example'],
  issuers: ['lab'],
  key: { type: 'ec-p256', keepForMs: 180 * dayMs },
}

/** Of 90 days, with a key made 100 days before it. */
const newest: Newest = {
  names: ['www.example', 'shop.example'],
  notBeforeMs: day(0),
  notAfterMs: day(90),
  keyMadeAtMs: day(-100),
  chainPem: Buffer.from(vector('good.pem')).toString(),
}

interface Case {
  readonly what: string
  readonly newest?: Partial<Newest> | null
  readonly nowMs?: number
  readonly force?: boolean
  readonly rekey?: boolean
  readonly revoked?: string
  readonly reason: RegExp | null
  readonly keepKey: boolean
}

const cases: readonly Case[] = [
  { what: 'there is none', newest: null, reason: /there is none yet/, keepKey: false },
  { what: 'there is none, and a new key was asked for', newest: null, rekey: true, reason: /none yet/, keepKey: false },
  { what: 'it is new', reason: null, keepKey: true },
  { what: 'it is not valid yet', nowMs: day(-1), reason: null, keepKey: true },
  { what: 'a moment is left to two thirds', nowMs: day(60) - 1, reason: null, keepKey: true },
  { what: 'two thirds have passed', nowMs: day(60), reason: /last third of its lifetime/, keepKey: true },
  { what: 'it ends now', nowMs: day(90), reason: /last third/, keepKey: false },
  { what: 'it ended long ago', nowMs: day(900), reason: /last third/, keepKey: false },
  { what: 'a moment is left for the key', nowMs: day(80) - 1, reason: /last third/, keepKey: true },
  { what: 'the key has had its time', nowMs: day(80), reason: /last third/, keepKey: false },
  {
    what: 'the key has had its time, but the certificate not: a key alone is no reason',
    newest: { keyMadeAtMs: day(-500) },
    reason: null,
    keepKey: false,
  },
  { what: 'it was revoked', revoked: 'superseded', reason: /it was revoked \(superseded\)/, keepKey: true },
  { what: 'its key is known to others', revoked: 'keyCompromise', reason: /keyCompromise/, keepKey: false },
  { what: 'a renewal was asked for', force: true, reason: /a renewal was asked for/, keepKey: true },
  { what: 'a new key was asked for', rekey: true, reason: /a new key was asked for/, keepKey: false },
  { what: 'both were asked for', force: true, rekey: true, reason: /a new key was asked for/, keepKey: false },
  {
    what: 'a name was added',
    newest: { names: ['www.example'] },
    reason: /does not name shop\.example$/,
    keepKey: true,
  },
  { what: 'names were added', newest: { names: [] }, reason: /name www\.example, shop\.example$/, keepKey: true },
  {
    what: 'a name was taken away: clients do not mind',
    newest: { names: ['www.example', 'shop.example', 'old.example'] },
    reason: null,
    keepKey: true,
  },
  {
    what: 'the order of names is another',
    newest: { names: ['shop.example', 'www.example'] },
    reason: null,
    keepKey: true,
  },
  {
    what: 'it covers a name only by a wildcard that the policy does not ask for',
    newest: { names: ['*.example', 'www.example'] },
    reason: /does not name shop\.example$/,
    keepKey: true,
  },
  {
    what: 'a lifetime of six days has three days left',
    newest: { notAfterMs: day(6) },
    nowMs: day(3),
    reason: /last half/,
    keepKey: true,
  },
  {
    what: 'a lifetime of six days has more than three days left',
    newest: { notAfterMs: day(6) },
    nowMs: day(3) - 1,
    reason: null,
    keepKey: true,
  },
  {
    what: 'a lifetime of ten days has more than 30 % and a day left',
    newest: { notAfterMs: day(10) },
    nowMs: day(6) - 1,
    reason: null,
    keepKey: true,
  },
  {
    what: 'a lifetime of ten days has 30 % and a day left',
    newest: { notAfterMs: day(10) },
    nowMs: day(6),
    reason: /what is left .* for trying again/,
    keepKey: true,
  },
]

for (const {
  what,
  newest: known = {},
  nowMs = day(1),
  force = false,
  rekey = false,
  revoked = null,
  reason,
  keepKey,
} of cases) {
  test(`${what}: ${reason ? 'renew' : 'leave it'}, ${keepKey ? 'the key may stay' : 'with a new key'}`, () => {
    const need = renewalNeed(policy, known && { ...newest, ...known }, { nowMs, force, rekey, revoked })
    assert.equal(need.keepKey, keepKey)
    if (reason) assert.match(need.reason ?? 'none', reason)
    else assert.equal(need.reason, null)
  })
}

test('a key of another type than the policy now says is not kept', () => {
  const other = { ...policy, key: { ...policy.key, type: 'rsa-2048' as const } }
  const kept = (of: Certificate) => renewalNeed(of, newest, { nowMs: day(70), force: false, rekey: false }).keepKey
  assert.deepEqual([kept(policy), kept(other)], [true, false])
})

test('a key that may be kept for no time is never kept', () => {
  const strict = { ...policy, key: { ...policy.key, keepForMs: 0 } }
  const fresh = { ...newest, keyMadeAtMs: day(1) }
  const need = renewalNeed(strict, fresh, { nowMs: day(1), force: true, rekey: false })
  assert.equal(need.keepKey, false)
})

const asked = { force: false, rekey: false }
const moments = fc.record({
  lifetimeMs: fc.integer({ min: 3_600_000, max: 400 * dayMs }),
  nowMs: fc.integer({ min: start - dayMs, max: day(800) }),
  laterMs: fc.nat({ max: 400 * dayMs }),
  draw: fc.double({ min: 0, max: 1, noNaN: true }),
})
const anyWindow = fc.record({
  startMs: fc.integer({ min: day(-1000), max: day(1000) }),
  endMs: fc.integer({ min: day(-1000), max: day(1000) }),
})
const known = (lifetimeMs: number): Newest => ({ ...newest, notAfterMs: start + lifetimeMs, keyMadeAtMs: day(-1000) })
const lastMoment = (lifetimeMs: number) =>
  start + (lifetimeMs < 10 * dayMs ? lifetimeMs / 2 : lifetimeMs - Math.max(lifetimeMs / 3, 0.3 * lifetimeMs + dayMs))

test('without a word of the CA it is due when a third is left (and a day more than 30 %), or half of less than ten days, or up to 2 % earlier', () => {
  fc.assert(
    fc.property(moments, ({ lifetimeMs, nowMs, draw }) => {
      const { dueMs, reason } = renewalNeed(policy, known(lifetimeMs), { ...asked, nowMs, draw })
      assert.ok(dueMs !== null && dueMs <= lastMoment(lifetimeMs))
      assert.ok(dueMs >= lastMoment(lifetimeMs) - lifetimeMs * 0.0201)
      assert.equal(reason !== null, nowMs >= dueMs)
    }),
  )
})

test('a larger draw is never later', () => {
  fc.assert(
    fc.property(moments, fc.double({ min: 0, max: 1, noNaN: true }), ({ lifetimeMs, nowMs, draw }, other) => {
      const due = (at: number) => renewalNeed(policy, known(lifetimeMs), { ...asked, nowMs, draw: at }).dueMs ?? 0
      assert.ok(due(Math.max(draw, other)) <= due(Math.min(draw, other)))
    }),
  )
})

test('whatever window the CA names, it is never due later than without one, and once due it stays due', () => {
  fc.assert(
    fc.property(moments, anyWindow, fc.array(fc.integer()), ({ lifetimeMs, nowMs, laterMs, draw }, window, days) => {
      const suggestion = { window, issuedAtMs: days.map(day) }
      const need = (at: number) => renewalNeed(policy, known(lifetimeMs), { ...asked, nowMs: at, draw, suggestion })
      assert.ok((need(nowMs).dueMs ?? Number.NaN) <= lastMoment(lifetimeMs))
      if (need(nowMs).reason !== null) assert.notEqual(need(nowMs + laterMs).reason, null)
    }),
  )
})

test('why the CA asks for it is said, and cannot drive a terminal', () => {
  const window = { startMs: day(1), endMs: day(2), explanationUrl: 'https://ca.example/\u001b[31m' }
  const suggestion = { window, issuedAtMs: [] }
  const { reason } = renewalNeed(policy, newest, { ...asked, nowMs: day(3), suggestion })
  assert.equal(reason, 'its CA asks for a renewal now (https://ca.example/\\x1b[31m)')
})

test('what becomes due before the next run is due now, and what becomes due at it is not', () => {
  const need = (nextRunMs: number) => renewalNeed(policy, newest, { ...asked, nowMs: day(59.5), nextRunMs }).reason
  assert.match(need(day(60.5)) ?? 'none', /what is left of its lifetime/)
  assert.equal(need(day(60)), null)
})

test('who looks once a day renews a lifetime below 60 days while 30 % and two days are left', () => {
  const days = (count: number, nextDays: number) => {
    const nowMs = day(count)
    return renewalNeed(policy, known(45 * dayMs), { ...asked, nowMs, nextRunMs: nowMs + nextDays * dayMs })
  }
  const due = (nextDays: number) => ((days(0, nextDays).dueMs ?? 0) - start) / dayMs
  assert.deepEqual(
    [due(1 / 24), due(1), due(70)].map((at) => Math.round(at * 1e6) / 1e6),
    [30, 29.5, 29.5],
  )
  assert.equal(days(28.4, 70).reason, null, 'what is due in more than a day is not due')
})

test('a next run that lies in the past counts as now', () => {
  assert.notEqual(renewalNeed(policy, newest, { ...asked, nowMs: day(60), nextRunMs: day(2) }).reason, null)
})

interface Suggested {
  readonly what: string
  readonly from: number
  readonly to: number
  readonly issued?: readonly number[]
  readonly atDay: number
  readonly due: number
  readonly reason: RegExp | null
}

const suggested: readonly Suggested[] = [
  { what: 'lies ahead', from: 20, to: 30, atDay: 24, due: 25, reason: null },
  { what: 'has its point behind it', from: 20, to: 30, atDay: 25, due: 25, reason: /its CA asks/ },
  { what: 'lies wholly in the past', from: -9, to: -7, atDay: 1, due: -8, reason: /its CA asks/ },
  {
    what: 'reaches beyond the last moment: its first part counts',
    from: 59,
    to: 61,
    atDay: 59.5,
    due: 59.5,
    reason: /CA/,
  },
  { what: 'begins at the last moment', from: 60, to: 62, atDay: 60, due: 59.1, reason: /last third/ },
  { what: 'lies behind the end', from: 95, to: 99, atDay: 59.1, due: 59.1, reason: /what is left/ },
  { what: 'ends before it begins', from: 30, to: 20, atDay: 58, due: 59.1, reason: null },
  { what: 'has no length', from: 20, to: 20, atDay: 58, due: 59.1, reason: null },
  { what: 'is no date', from: Number.NaN, to: Number.NaN, atDay: 58, due: 59.1, reason: null },
  {
    what: 'lies in the past for the third certificate of a week',
    from: -9,
    to: -7,
    issued: [-6, -1, 0],
    atDay: 0.5,
    due: 59.1,
    reason: null,
  },
  {
    what: 'lies in the past for the second certificate of a week',
    from: -9,
    to: -7,
    issued: [-6.6, -1, 0],
    atDay: 0.5,
    due: -8,
    reason: /its CA asks/,
  },
  {
    what: 'is the usual one, though three were issued in a week',
    from: 59.2,
    to: 60.8,
    issued: [57, 58, 59],
    atDay: 60,
    due: 59.6,
    reason: /its CA asks/,
  },
]

for (const { what, from, to, issued = [0], atDay, due, reason } of suggested) {
  test(`a window that ${what}: ${reason ? 'renew' : 'leave it'}`, () => {
    const suggestion = { window: { startMs: day(from), endMs: day(to) }, issuedAtMs: issued.map(day) }
    const need = renewalNeed(policy, newest, { ...asked, nowMs: day(atDay), draw: 0.5, suggestion })
    assert.equal(((need.dueMs ?? 0) - start) / dayMs, due)
    if (reason) assert.match(need.reason ?? 'none', reason)
    else assert.equal(need.reason, null)
  })
}
