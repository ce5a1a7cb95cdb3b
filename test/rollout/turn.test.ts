import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseFleet } from '../../src/fleet/document.ts'
import type { Window } from '../../src/fleet/fleet.ts'
import { windowState } from '../../src/fleet/window.ts'
import type { Generation } from '../../src/rollout/generation.ts'
import { type Known, type Plan, type PlannedServer, planRollout } from '../../src/rollout/plan.ts'
import { rolloutWaves } from '../../src/rollout/rollout.ts'
import { type Turn, turnOf } from '../../src/rollout/turn.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
const sundays: Window = { cron: '0 2 * * 0', forMs: 2 * hourMs, timeZone: 'Europe/Berlin' }
const wednesday = Date.parse('2026-11-25T12:00Z')
const windowEnds = Date.parse('2026-11-29T03:00Z')

test('a server waits for its window, unless a person has a reason, or what it serves expires too early for it', () => {
  const turn = (now: string | null, servedUntilMs: number | null) =>
    turnOf([sundays], wednesday, { now, servedUntilMs })
  const waits = { kind: 'waits', opensAt: '2026-11-29T02:00+01:00' }
  assert.deepEqual(turn(null, wednesday + 60 * dayMs), waits)
  assert.deepEqual(turn(null, null), waits, 'nothing is known to expire')
  assert.deepEqual(turn('the key was lost', null), { kind: 'override', reason: 'the key was lost' })
  assert.deepEqual(turn(null, windowEnds + dayMs), waits)
  assert.equal(turn(null, windowEnds + dayMs - 1).kind, 'override')
  assert.equal(turn(null, wednesday - dayMs).kind, 'override', 'it has expired already')
  assert.deepEqual(turnOf([], wednesday, { now: null, servedUntilMs: null }), { kind: 'open' })
  assert.deepEqual(turnOf([sundays], windowEnds - 1, { now: 'a reason', servedUntilMs: null }), { kind: 'open' })
})

/** One server over a year and both changes of the clocks: renewals as they are due, rollouts as often as they are run. */
function year(window: Window, { lifetimeDays, everyHours }: { lifetimeDays: number; everyHours: number }) {
  const fromMs = Date.parse('2026-01-01T06:00Z')
  const lifetimeMs = lifetimeDays * dayMs
  // CAs date a certificate back by an hour: so none expires at the very moment of a rollout.
  const issued = (nowMs: number) => nowMs - hourMs + lifetimeMs
  let newestUntilMs = issued(fromMs)
  let servedUntilMs = newestUntilMs
  const changes = { inside: 0, outside: 0, expiredMs: 0 }
  for (let nowMs = fromMs; nowMs < fromMs + 366 * dayMs; nowMs += everyHours * hourMs) {
    if (newestUntilMs - nowMs <= lifetimeMs / (lifetimeDays < 10 ? 2 : 3)) newestUntilMs = issued(nowMs)
    if (servedUntilMs < nowMs) changes.expiredMs += nowMs - servedUntilMs
    if (servedUntilMs === newestUntilMs) continue
    const turn = turnOf([window], nowMs, { now: null, servedUntilMs })
    if (turn.kind === 'waits') continue
    changes[windowState([window], nowMs).kind === 'open' ? 'inside' : 'outside'] += 1
    servedUntilMs = newestUntilMs
  }
  return changes
}

for (const [lifetimeDays, everyHours, window, outside] of [
  [90, 1, sundays, 0],
  [45, 1, sundays, 0],
  [90, 24, sundays, 'all'],
  [45, 24, { ...sundays, cron: '30 2 * * *' }, 'all'],
  [45, 1, { ...sundays, cron: '30 2 * * *', forMs: hourMs }, 0],
  [47, 6, { ...sundays, cron: '0 2 1 * *' }, 'some'],
  [7, 1, sundays, 'some'],
  [6, 24, { ...sundays, cron: '0 2 1 1 *' }, 'all'],
  [90, 1, { ...sundays, cron: '0 0 29 2 *' }, 'all'],
] as const) {
  test(`a year of ${lifetimeDays} d certificates, a rollout each ${everyHours} h, window ${window.cron}: nothing expires`, () => {
    const changes = year(window, { lifetimeDays, everyHours })
    assert.equal(changes.expiredMs, 0)
    const all = changes.inside + changes.outside
    assert.ok(all >= Math.floor(365 / lifetimeDays), JSON.stringify(changes))
    if (outside === 0) assert.equal(changes.outside, 0)
    else if (outside === 'all') assert.equal(changes.inside, 0, JSON.stringify(changes))
    else assert.ok(changes.outside > 0, JSON.stringify(changes))
  })
}

test('the canary is the first server that is open; what waits is in no wave, and its key does not travel', () => {
  const open = '* * * * *'
  const fleet = parseFleet(
    `version: 1
issuers: { lab: { local-ca: {} } }
certificates: { www: { names: [www.lab.example], issuer: lab } }
servers:
${['a', 'b', 'c', 'd']
  .map((name, at) => {
    const cron = name === 'b' || name === 'd' ? open : sundays.cron
    return `  ${name}: { local: true, address: 192.0.2.${at + 1}, service: nginx, window: { cron: "${cron}", for: 2h } }`
  })
  .join('\n')}
sites: { www.lab.example: { certificate: www, dns: [a, b, c, d] } }
rollout: { canary: 1, wave: 100% }
`,
    { file: 'fleet.yaml', directory: '/' },
  )
  const certificate = fleet.certificates.get('www')
  assert.ok(certificate)
  const generation = { number: 1, spki: 'spki', chain: ['leaf'] } as unknown as Generation
  const expiring: Known = {
    committed: null,
    holds: new Set(),
    served: new Map(),
    tickets: 'right',
    servedUntilMs: wednesday + dayMs,
  }
  const plan = (now: string | null) =>
    planRollout(fleet, certificate, generation, new Map([['c', expiring]]), {
      fragile: new Set(),
      holders: new Set(),
      nowMs: wednesday,
      now,
    })
  const names = (planned: readonly PlannedServer[]) => planned.map(({ placement }) => placement.server.name)
  const waiting = plan(null)
  assert.deepEqual(waiting.waves.map(names), [['b'], ['c', 'd']])
  assert.deepEqual(names(waiting.waiting), ['a'])
  assert.equal(waiting.keyCopies, 3)
  assert.deepEqual(
    waiting.waves.flat().map(({ override }) => override !== undefined),
    [false, true, false],
  )
  const hasty = plan('the key was lost')
  assert.deepEqual(hasty.waves.map(names), [['a'], ['b', 'c', 'd']])
  assert.deepEqual(names(hasty.waiting), [])
  assert.deepEqual(
    hasty.waves.flat().map(({ override }) => override),
    ['the key was lost', undefined, 'the key was lost', undefined],
  )
})

test('a server whose window closes before its turn is left; the others go on, and it is no failure', async () => {
  const planned = (name: string) =>
    ({ placement: { server: { name } }, action: 'chain', reason: '' }) as unknown as PlannedServer
  const waves = [['a'], ['b', 'c'], ['d']].map((wave) => wave.map(planned))
  const plan = { certificate: { name: 'www' }, policy: { canary: 1 }, waves } as unknown as Plan
  const begun: string[] = []
  const closed = new Set<string>()
  const { outcomes, stopped, untouched, waiting } = await rolloutWaves(
    plan,
    async ({ placement: { server } }, onServed) => {
      begun.push(server.name)
      if (server.name === 'a') closed.add('b')
      onServed()
      return {
        server: server.name,
        state: 'committed',
        changed: true,
        keySent: false,
        ticketKeysSent: false,
        bytesSent: 0,
        drained: [],
        elapsedMs: 0,
      }
    },
    {
      parallel: 4,
      signal: new AbortController().signal,
      report: () => {},
      soon: () => {},
      turnOf: ({ placement: { server } }): Turn =>
        closed.has(server.name) ? { kind: 'waits', opensAt: 'later' } : { kind: 'open' },
    },
  )
  assert.deepEqual(begun, ['a', 'c', 'd'])
  assert.deepEqual(
    outcomes.map(({ server }) => server),
    ['a', 'c', 'd'],
  )
  assert.deepEqual([stopped, untouched], [null, []])
  assert.deepEqual(
    waiting.map(({ placement, opensAt }) => [placement.server.name, opensAt]),
    [['b', 'later']],
  )
})
