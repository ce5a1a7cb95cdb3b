import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { Window } from '../../src/fleet/fleet.ts'
import { windowDefect, windowState, windowTime } from '../../src/fleet/window.ts'
import { parse, spoilt } from './good.ts'

const hourMs = 3_600_000
const at = (text: string) => Date.parse(text)
const berlin = (cron: string, hours: number): Window => ({ cron, forMs: hours * hourMs, timeZone: 'Europe/Berlin' })

/** As times of UTC. */
function stateAt(windows: readonly Window[], text: string): string {
  const state = windowState(windows, at(text))
  const time = (ms: number | null) => (ms === null ? 'never' : new Date(ms).toISOString().slice(0, 16))
  return state.kind === 'open'
    ? `open until ${time(state.closesAtMs)}`
    : `closed until ${time(state.opensAtMs)}, then until ${time(state.closesAtMs)}`
}

test('a window is open from its time on, and closed from its end on', () => {
  const sundays = [berlin('0 2 * * 0', 2)]
  assert.equal(stateAt(sundays, '2026-11-25T12:00Z'), 'closed until 2026-11-29T01:00, then until 2026-11-29T03:00')
  assert.equal(
    stateAt(sundays, '2026-11-29T00:59:59.999Z'),
    'closed until 2026-11-29T01:00, then until 2026-11-29T03:00',
  )
  assert.equal(stateAt(sundays, '2026-11-29T01:00Z'), 'open until 2026-11-29T03:00')
  assert.equal(stateAt(sundays, '2026-11-29T02:59:59.999Z'), 'open until 2026-11-29T03:00')
  assert.equal(stateAt(sundays, '2026-11-29T03:00Z'), 'closed until 2026-12-06T01:00, then until 2026-12-06T03:00')
  assert.equal(stateAt([], '2026-11-25T12:00Z'), 'open until never')
})

test('of several windows each counts; what follows without a gap is one', () => {
  const windows = [berlin('0 2 * * *', 2), berlin('0 4 * * 0', 1), berlin('0 22 * * 5', 1)]
  assert.equal(stateAt(windows, '2026-11-29T01:30Z'), 'open until 2026-11-29T04:00')
  assert.equal(stateAt(windows, '2026-11-29T03:30Z'), 'open until 2026-11-29T04:00')
  assert.equal(stateAt(windows, '2026-11-27T20:00Z'), 'closed until 2026-11-27T21:00, then until 2026-11-27T22:00')
  assert.equal(stateAt([berlin('*/30 * * * *', 1)], '2026-11-27T20:00Z'), 'open until never', 'it does not close')
})

test('when summer time begins, what the clocks skip begins behind the gap; a window lasts as long as it says', () => {
  // On 2026-03-29 02:00 to 03:00 does not exist in Berlin: 01:00 UTC is 03:00 there.
  const skipped = [berlin('30 2 * * *', 2)]
  assert.equal(stateAt(skipped, '2026-03-28T12:00Z'), 'closed until 2026-03-29T01:00, then until 2026-03-29T03:00')
  assert.equal(stateAt(skipped, '2026-03-29T12:00Z'), 'closed until 2026-03-30T00:30, then until 2026-03-30T02:30')
  const across = [berlin('30 1 * * *', 2)]
  assert.equal(stateAt(across, '2026-03-29T01:30Z'), 'open until 2026-03-29T02:30', 'two hours, not one')
})

test('when summer time ends, an hour that comes twice opens a window once', () => {
  // On 2026-10-25 02:30 is 00:30 UTC, and again 01:30 UTC.
  const doubled = [berlin('30 2 * * *', 0.5)]
  assert.equal(stateAt(doubled, '2026-10-25T00:00Z'), 'closed until 2026-10-25T00:30, then until 2026-10-25T01:00')
  assert.equal(stateAt(doubled, '2026-10-25T01:15Z'), 'closed until 2026-10-26T01:30, then until 2026-10-26T02:00')
  const across = [berlin('30 1 * * *', 2)]
  assert.equal(stateAt(across, '2026-10-25T01:20Z'), 'open until 2026-10-25T01:30', 'two hours, not three')
})

test('times are told as the clocks there show them', () => {
  assert.equal(windowTime(at('2026-11-29T01:00Z'), 'Europe/Berlin'), '2026-11-29T02:00+01:00')
  assert.equal(windowTime(at('2026-07-29T22:05Z'), 'Europe/Berlin'), '2026-07-30T00:05+02:00')
  assert.equal(windowTime(at('2026-11-29T01:00Z'), 'UTC'), '2026-11-29T01:00+00:00')
  assert.equal(windowTime(at('2026-11-29T20:00Z'), 'Asia/Kathmandu'), '2026-11-30T01:45+05:45')
  assert.equal(at(windowTime(at('2026-10-25T01:30Z'), 'Europe/Berlin')), at('2026-10-25T01:30Z'), 'the second 02:30')
})

test('what is said of a moment holds until the moment that is named, in any year and zone', () => {
  const window = fc.record({
    cron: fc.constantFrom('0 2 * * 0', '30 2 * * *', '0 */6 * * *', '15 3 1 * *', '0 22 * * 1-5', '0 0 29 2 *'),
    forMs: fc.integer({ min: 1, max: 48 }).map((halves) => (halves * hourMs) / 2),
    timeZone: fc.constantFrom('Europe/Berlin', 'America/New_York', 'UTC', 'Australia/Lord_Howe', 'Asia/Kathmandu'),
  })
  const moment = fc.integer({ min: at('2026-01-01T00:00Z'), max: at('2031-01-01T00:00Z') })
  fc.assert(
    fc.property(fc.array(window, { minLength: 1, maxLength: 3 }), moment, (windows, nowMs) => {
      const state = windowState(windows, nowMs)
      const kindAt = (ms: number) => windowState(windows, ms).kind
      if (state.kind === 'open') {
        if (state.closesAtMs === null) return
        assert.equal(kindAt(state.closesAtMs - 1), 'open')
        assert.equal(kindAt(state.closesAtMs), 'closed')
      } else {
        assert.equal(kindAt(state.opensAtMs - 1), 'closed')
        assert.equal(kindAt(state.opensAtMs), 'open')
      }
    }),
    { numRuns: 300 },
  )
})

test('what is no window is told', () => {
  for (const cron of ['', 'x', '61 * * * *', '* * * *', '* * * * * *', '0 0 32 * *'])
    assert.equal(windowDefect({ cron, timeZone: 'UTC' }), 'cron', cron)
  assert.equal(windowDefect({ cron: '0 0 30 2 *', timeZone: 'UTC' }), 'never')
  assert.equal(windowDefect({ cron: '0 2 * * 0', timeZone: 'Mars/Olympus' }), 'time-zone')
  assert.equal(windowDefect({ cron: '0 2 * * 0', timeZone: 'Europe/Berlin' }), null)
})

test("a server's own windows count before those of its location", () => {
  const locations = '\nlocations: { frankfurt: { window: { cron: "0 2 * * 0", for: 2h, time-zone: Europe/Berlin } } }\n'
  const shared = parse(spoilt('\nsites:', `${locations}sites:`))
  assert.deepEqual(shared.servers.get('eu-1')?.windows, [berlin('0 2 * * 0', 2)])
  assert.deepEqual(shared.servers.get('us-1')?.windows, [])
  const own = '    window: [{ cron: "0 3 * * *", for: 30m }, { cron: "0 4 * * 6", for: 1d }]\n'
  const text = spoilt('\nsites:', `${locations}sites:`).replace(
    '    location: frankfurt\n',
    `    location: frankfurt\n${own}`,
  )
  assert.deepEqual(parse(text).servers.get('eu-1')?.windows, [
    { cron: '0 3 * * *', forMs: hourMs / 2, timeZone: 'UTC' },
    { cron: '0 4 * * 6', forMs: 24 * hourMs, timeZone: 'UTC' },
  ])
})
