import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Attempts } from '../../src/issue/attempt.ts'
import { type Candidate, chooseIssuer } from '../../src/issue/failover.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const none: Attempts = { failures: 0, firstAttemptMs: 0, lastAttemptMs: 0 }
/** Hours. */
const failed = (failures: number, first: number, last: number, notBefore = 0): Attempts => ({
  failures,
  firstAttemptMs: first * hourMs,
  lastAttemptMs: last * hourMs,
  notBeforeMs: notBefore * hourMs,
})

interface Case {
  readonly what: string
  readonly histories: readonly [Attempts, ...Attempts[]]
  readonly nowHours: number
  readonly daysLeft: number | null
  readonly chosen: number
}

const cases: readonly Case[] = [
  { what: 'nothing was tried yet', histories: [none, none], nowHours: 0, daysLeft: 30, chosen: 0 },
  {
    what: 'the first has failed for 23 hours',
    histories: [failed(9, 0, 22), none],
    nowHours: 23,
    daysLeft: 30,
    chosen: 0,
  },
  {
    what: 'the first has failed for a day',
    histories: [failed(9, 0, 22), none],
    nowHours: 24,
    daysLeft: 30,
    chosen: 1,
  },
  { what: 'it failed once, days ago', histories: [failed(1, 0, 0), none], nowHours: 72, daysLeft: 30, chosen: 0 },
  {
    what: 'five days are left, and it has failed for half a day',
    histories: [failed(3, 0, 6), none],
    nowHours: 12,
    daysLeft: 5,
    chosen: 1,
  },
  {
    what: 'five days are left, and it has failed for eleven hours',
    histories: [failed(3, 0, 6), none],
    nowHours: 11,
    daysLeft: 5,
    chosen: 0,
  },
  {
    what: 'it has expired, and the first has failed for an hour',
    histories: [failed(3, 0, 1), none],
    nowHours: 1,
    daysLeft: -5,
    chosen: 1,
  },
  {
    what: 'there is none yet, and the first has failed for an hour',
    histories: [failed(3, 0, 1), none],
    nowHours: 1,
    daysLeft: null,
    chosen: 1,
  },
  {
    what: 'the first says not before two days',
    histories: [failed(1, 0, 0, 48), none],
    nowHours: 0,
    daysLeft: 30,
    chosen: 1,
  },
  {
    what: 'the first says not before one hour',
    histories: [failed(1, 0, 0, 1), none],
    nowHours: 0,
    daysLeft: 30,
    chosen: 0,
  },
  {
    what: 'both have failed, the second longer ago',
    histories: [failed(9, 0, 40), failed(9, 0, 39)],
    nowHours: 41,
    daysLeft: 30,
    chosen: 1,
  },
  {
    what: 'both have failed, the first longer ago',
    histories: [failed(9, 0, 40), failed(9, 0, 41)],
    nowHours: 42,
    daysLeft: 30,
    chosen: 0,
  },
  {
    what: 'both have failed, and the second says not before tomorrow',
    histories: [failed(9, 0, 40), failed(9, 0, 39, 80)],
    nowHours: 41,
    daysLeft: 30,
    chosen: 0,
  },
  {
    what: 'two have failed, and there is a third',
    histories: [failed(9, 0, 40), failed(9, 0, 39), none],
    nowHours: 41,
    daysLeft: 30,
    chosen: 2,
  },
  { what: 'the only one has failed', histories: [failed(9, 0, 40)], nowHours: 41, daysLeft: 1, chosen: 0 },
]

const candidates = ([first, ...rest]: readonly [Attempts, ...Attempts[]]): [Candidate, ...Candidate[]] => [
  { name: '0', attempts: first },
  ...rest.map((attempts, at) => ({ name: `${at + 1}`, attempts })),
]

for (const { what, histories, nowHours, daysLeft, chosen } of cases) {
  test(`${what}: number ${chosen + 1} is asked`, () => {
    const nowMs = nowHours * hourMs
    const notAfterMs = daysLeft === null ? null : nowMs + daysLeft * dayMs
    assert.equal(chooseIssuer(candidates(histories), { nowMs, notAfterMs }).name, `${chosen}`)
  })
}

test('one that was not tried yet is never passed over for a later one', () => {
  const attempts = fc.record({
    failures: fc.nat({ max: 20 }),
    firstAttemptMs: fc.nat(),
    lastAttemptMs: fc.nat(),
    notBeforeMs: fc.nat(),
  })
  fc.assert(
    fc.property(attempts, fc.array(attempts), fc.nat(), fc.integer(), (first, rest, nowMs, leftMs) => {
      const all = candidates([first, ...rest])
      const { name } = chooseIssuer(all, { nowMs, notAfterMs: nowMs + leftMs })
      const untried = all.findIndex((each) => each.attempts.failures === 0)
      if (untried >= 0) assert.ok(Number(name) <= untried)
    }),
  )
})
