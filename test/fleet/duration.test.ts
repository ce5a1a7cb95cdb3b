import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatDuration, parseDuration } from '../../src/fleet/duration.ts'

const written: readonly (readonly [string, number | null])[] = [
  ['0s', 0],
  ['1ms', 1],
  ['90s', 90_000],
  ['90m', 5_400_000],
  ['12h', 43_200_000],
  ['30d', 2_592_000_000],
  ['999999d', 86_399_913_600_000],
  ['030d', 2_592_000_000],
  ['1000000s', null],
  ['30', null],
  ['30 d', null],
  ['30days', null],
  ['30D', null],
  ['-30d', null],
  ['+30d', null],
  ['1.5h', null],
  ['1e3s', null],
  ['1h30m', null],
  ['30d\n', null],
  ['٣d', null],
  ['', null],
  ['d', null],
]

for (const [text, durationMs] of written) {
  test(`${JSON.stringify(text)} is ${durationMs === null ? 'no duration' : `${durationMs} ms`}`, () => {
    assert.equal(parseDuration(text), durationMs)
  })
}

test('what is written is read back as the same length, with the largest unit that fits', () => {
  fc.assert(
    fc.property(fc.nat({ max: 999_999 }), fc.constantFrom('ms', 's', 'm', 'h', 'd'), (count, unit) => {
      const durationMs = parseDuration(`${count}${unit}`)
      assert.ok(durationMs !== null)
      assert.equal(parseDuration(formatDuration(durationMs)), durationMs)
    }),
  )
  assert.deepEqual([86_400_000, 90_000, 3_600_000, 1_500].map(formatDuration), ['1d', '90s', '1h', '1500ms'])
})
