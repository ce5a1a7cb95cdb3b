import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nextAttempt } from '../../src/issue/attempt.ts'
import { budget, type Event } from '../../src/issue/limits/budget.ts'
import { letsEncrypt } from '../../src/issue/limits/letsencrypt.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const far = { notAfterMs: 300 * dayMs, draw: 0 }
const tried = (failures: number, lastAttemptMs = 0) => ({ failures, firstAttemptMs: 0, lastAttemptMs })

test('the first attempt is at once', () => {
  assert.equal(nextAttempt(tried(0), { ...far, nowMs: 7 }), 7)
})

test('the waits double from five minutes to six hours', () => {
  const waits = [1, 2, 3, 4, 5, 6, 7, 8, 500].map((failures) => nextAttempt(tried(failures), { ...far, nowMs: 0 }))
  assert.deepEqual(
    waits.map((wait) => wait / minuteMs),
    [5, 10, 20, 40, 80, 160, 320, 360, 360],
  )
})

test('near the end of the certificate the waits are shorter, and long after it longer again', () => {
  const wait = (leftMs: number) => nextAttempt(tried(20), { nowMs: 0, notAfterMs: leftMs, draw: 0 }) / minuteMs
  assert.deepEqual(
    [10, 2, 1, 0.1, 0, -1, -30].map((days) => wait(days * dayMs)),
    [360, 120, 60, 15, 15, 60, 360],
  )
})

test('where there is no certificate yet, the wait is at most six hours', () => {
  assert.equal(nextAttempt(tried(50), { nowMs: 0, notAfterMs: null, draw: 0 }), 6 * hourMs)
})

test('a date that the CA said is respected, up to seven days', () => {
  const after = (notBeforeMs: number) => nextAttempt({ ...tried(1), notBeforeMs }, { ...far, nowMs: 0 })
  assert.equal(after(34 * hourMs), 34 * hourMs)
  assert.equal(after(minuteMs), 5 * minuteMs)
  assert.equal(after(3650 * dayMs), 7 * dayMs)
})

test('an attempt of a clock that was ahead does not hold anything up', () => {
  const attempts = { ...tried(9, 400 * dayMs), notBeforeMs: 407 * dayMs }
  assert.equal(nextAttempt(attempts, { ...far, nowMs: 5 * dayMs }), 5 * dayMs)
})

const draws = fc.double({ min: 0, max: 1, noNaN: true })

test('the wait is between 5 minutes and 7.5 hours, never shorter after one more failure, nor with a larger draw', () => {
  const times = fc.record({
    lastAttemptMs: fc.nat(),
    leftMs: fc.integer(),
    failures: fc.integer({ min: 1 }),
    draw: draws,
  })
  fc.assert(
    fc.property(times, draws, ({ lastAttemptMs, leftMs, failures, draw }, other) => {
      const wait = (count: number, drawn: number) =>
        nextAttempt(tried(count, lastAttemptMs), {
          nowMs: lastAttemptMs,
          notAfterMs: lastAttemptMs + leftMs,
          draw: drawn,
        }) - lastAttemptMs
      assert.ok(wait(failures, draw) >= 5 * minuteMs && wait(failures, draw) <= 7.5 * hourMs)
      assert.ok(wait(failures + 1, draw) >= wait(failures, draw))
      assert.ok(wait(failures, Math.max(draw, other)) >= wait(failures, Math.min(draw, other)))
    }),
  )
})

for (const restMs of [80 * hourMs, 15 * dayMs, 30 * dayMs, 133 * dayMs]) {
  test(`a name that fails for all of the ${restMs / hourMs} hours that are left and 60 days more reaches no limit of Let's Encrypt`, () => {
    const history: Event[] = []
    const wanted = { kind: 'order', account: 'a', names: ['www.domain.example'], ari: false, renewal: true } as const
    let failures = 0
    for (let nowMs = 0; nowMs < restMs + 60 * dayMs; ) {
      assert.equal(budget(letsEncrypt.limits, history, wanted, nowMs), null)
      history.push({ kind: 'authorization', account: 'a', name: 'www.domain.example', failed: true, atMs: nowMs })
      failures++
      nowMs = nextAttempt(tried(failures, nowMs), { nowMs, notAfterMs: restMs, draw: 0 })
    }
    assert.ok(failures > 50)
  })
}
