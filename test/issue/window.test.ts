import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { nextLook, pointMs } from '../../src/issue/window.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const draws = fc.double({ min: 0, max: 1, noNaN: true })
const dates = fc.integer({ min: -1e13, max: 1e13 })

test('the point lies inside the window and not after the latest moment, and moves with the draw', () => {
  fc.assert(
    fc.property(dates, dates, dates, draws, draws, (startMs, endMs, latestMs, one, other) => {
      const point = pointMs({ startMs, endMs }, one, latestMs)
      if (point === null) return assert.ok(startMs >= endMs || startMs >= latestMs)
      assert.ok(point >= startMs && point <= endMs && point <= latestMs)
      const second = pointMs({ startMs, endMs }, other, latestMs) ?? Number.NaN
      assert.ok(one <= other ? point <= second : point >= second)
    }),
  )
})

test('with draws that are uniformly random the points are, too', () => {
  const tenths = Array.from({ length: 1000 }, (_, at) =>
    Math.floor((pointMs({ startMs: 0, endMs: 1000 }, (at + 0.5) / 1000, 500) ?? 0) / 50),
  )
  assert.deepEqual([...new Set(tenths.map((tenth) => tenths.filter((each) => each === tenth).length))], [100])
})

interface Case {
  readonly what: string
  readonly retryAfterMs?: number | null
  readonly failures?: number
  readonly afterMs: number
}

const cases: readonly Case[] = [
  { what: 'the CA says six hours', retryAfterMs: 6 * hourMs, afterMs: 6 * hourMs },
  { what: 'it says a second', retryAfterMs: 1000, afterMs: minuteMs },
  { what: 'it says less than nothing', retryAfterMs: -5 * hourMs, afterMs: minuteMs },
  { what: 'it says a year', retryAfterMs: 8766 * hourMs, afterMs: 12 * hourMs },
  { what: 'it says nothing', retryAfterMs: null, afterMs: 6 * hourMs },
  { what: 'what it says is no number', retryAfterMs: Number.NaN, afterMs: 6 * hourMs },
  { what: 'it did not answer once', failures: 1, afterMs: minuteMs },
  { what: 'it did not answer five times', failures: 5, afterMs: 16 * minuteMs },
  { what: 'it did not answer six times', failures: 6, afterMs: 6 * hourMs },
  { what: 'it has not answered for years', failures: 5000, afterMs: 6 * hourMs },
]

for (const { what, retryAfterMs = 6 * hourMs, failures = 0, afterMs } of cases) {
  test(`${what}: it is asked again after ${afterMs / minuteMs} minutes`, () => {
    const look = nextLook({ atMs: 1000, retryAfterMs, failures }, { nowMs: 1000, notAfterMs: 1e12 })
    assert.equal(look, 1000 + afterMs)
  })
}

test('it is asked at once where it was never asked, or by a clock that was ahead', () => {
  const when = { nowMs: 5000, notAfterMs: 1e12 }
  assert.equal(nextLook(null, when), 5000)
  assert.equal(nextLook({ atMs: 5001, retryAfterMs: null, failures: 0 }, when), 5000)
})

test('it is not asked about a certificate that has expired', () => {
  const look = { atMs: 1000, retryAfterMs: null, failures: 0 }
  assert.equal(nextLook(look, { nowMs: 5000, notAfterMs: 5000 }), null)
  assert.notEqual(nextLook(look, { nowMs: 4999, notAfterMs: 5000 }), null)
})

test('it is asked at least twice a day, and at most once a minute', () => {
  const looks = fc.record({
    atMs: fc.nat(),
    retryAfterMs: fc.option(fc.double({ noNaN: true })),
    failures: fc.nat(),
  })
  fc.assert(
    fc.property(looks, (look) => {
      const next = nextLook(look, { nowMs: look.atMs, notAfterMs: 1e13 })
      assert.ok(next !== null && next >= look.atMs + minuteMs && next <= look.atMs + 12 * hourMs)
    }),
  )
})
