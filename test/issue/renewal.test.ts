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
    what: 'a lifetime of six days has two days left',
    newest: { notAfterMs: day(6) },
    nowMs: day(4),
    reason: /last third/,
    keepKey: true,
  },
  {
    what: 'a lifetime of six days has more than two days left',
    newest: { notAfterMs: day(6) },
    nowMs: day(4) - 1,
    reason: null,
    keepKey: true,
  },
]

for (const { what, newest: known = {}, nowMs = day(1), force = false, rekey = false, reason, keepKey } of cases) {
  test(`${what}: ${reason ? 'renew' : 'leave it'}, ${keepKey ? 'the key may stay' : 'with a new key'}`, () => {
    const need = renewalNeed(policy, known && { ...newest, ...known }, { nowMs, force, rekey })
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

test('once a renewal is due it stays due, and before two thirds of the lifetime it never is', () => {
  const moments = fc.record({
    lifetimeMs: fc.integer({ min: 3_600_000, max: 400 * dayMs }),
    share: fc.double({ min: 0, max: 2, noNaN: true }),
    laterMs: fc.nat(),
  })
  fc.assert(
    fc.property(moments, ({ lifetimeMs, share, laterMs }) => {
      const known = { ...newest, notAfterMs: start + lifetimeMs }
      const nowMs = start + Math.floor(lifetimeMs * share)
      const due = (at: number) => renewalNeed(policy, known, { nowMs: at, force: false, rekey: false }).reason !== null
      if (due(nowMs)) assert.ok(due(nowMs + laterMs))
      if (share < 0.666) assert.ok(!due(nowMs))
      if (share > 0.667) assert.ok(due(nowMs))
    }),
  )
})
