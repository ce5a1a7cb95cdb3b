import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type Ca, dayMs, hourMs, type Suggests, simulatedCa, usualWindow } from './ca.ts'
import { type Keeper, keeper, type Lineage, lineage, lookAt, newestOf, wants } from './keeper.ts'

const yearsMs = 5 * 365.25 * dayMs
const startMs = Date.UTC(2027, 0, 1)
const lifetimes: readonly (readonly [string, number])[] = [
  ['160 hours', 160 * hourMs],
  ...[45, 47, 64, 90, 100, 200, 398].map((days) => [`${days} days`, days * dayMs] as const),
]
const windows: readonly (readonly [string, Suggests | null])[] = [
  ['without ARI', null],
  ['with ARI', usualWindow],
  [
    'with a window that always comes too late',
    ({ notAfterMs }) => ({ startMs: notAfterMs - hourMs, endMs: notAfterMs + dayMs }),
  ],
]
const looks: readonly (readonly [string, number])[] = [
  ['each hour', hourMs],
  ['once a day', dayMs],
]

/** mulberry32: numbers from 0 to 1 that are the same in each run. */
function draws(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

interface World {
  readonly ca: Ca
  readonly keeper: Keeper
  readonly kept: Lineage
  readonly lifetimeMs: number
}

interface Outcome {
  readonly expiredMs: number
  /** How old each certificate was when the next one came. */
  readonly agesMs: readonly number[]
}

/** What goes wrong at a look: how far our clock is off at it. It may stop the CA. */
type Trouble = (world: World, trueMs: number) => number

function live(world: World, trouble: Trouble): Outcome {
  let expiredMs = 0
  const agesMs: number[] = []
  for (let trueMs = startMs; trueMs < startMs + yearsMs; trueMs += world.keeper.everyMs) {
    const before = newestOf(world.kept)
    lookAt(world.keeper, world.kept, trueMs + trouble(world, trueMs), trueMs)
    const after = newestOf(world.kept)
    if (before && after !== before) agesMs.push(trueMs - before.certificate.notBeforeMs)
    const lookMs = world.keeper.everyMs
    // What a look leaves behind is served until the next one.
    if (after) expiredMs += Math.min(lookMs, Math.max(0, trueMs + lookMs - after.certificate.notAfterMs))
  }
  return { expiredMs, agesMs }
}

function world(lifetimeMs: number, everyMs: number, suggests: Suggests | null, draw: () => number): World {
  const ca = simulatedCa(lifetimeMs, suggests)
  return {
    ca,
    keeper: keeper(new Map([['first', ca]]), everyMs, draw),
    kept: lineage('www.domain.example'),
    lifetimeMs,
  }
}

const calm: Trouble = () => 0

/**
 * The CA is down for 30 % of the lifetime, each time from the very look at which a renewal is due first, as our clock has
 * it with the other trouble.
 */
function outages(of: (generation: number) => boolean, other: Trouble = calm): Trouble {
  let seen = 0
  return (world, trueMs) => {
    const { ca, keeper: by, kept, lifetimeMs } = world
    const offsetMs = other(world, trueMs)
    const { length } = kept.generations
    if (length > seen && of(length) && wants(by, kept, trueMs + offsetMs)) {
      seen = length
      ca.stop(trueMs + 0.3 * lifetimeMs)
    }
    return offsetMs
  }
}

/** Our clock is a day off for a day, each time from the very look at which a renewal would be due first. */
function jumps(offsetMs: number, of: (generation: number) => boolean): Trouble {
  let seen = 0
  let untilMs = 0
  return ({ keeper: by, kept }, trueMs) => {
    const { length } = kept.generations
    if (length > seen && of(length) && wants(by, kept, trueMs + Math.max(0, offsetMs))) {
      seen = length
      untilMs = trueMs + dayMs
    }
    return trueMs < untilMs ? offsetMs : 0
  }
}

/** Of four certificates one meets an outage, one a clock that is behind, one a clock that is ahead. */
function troubles(): Trouble {
  const behind = jumps(-dayMs, (generation) => generation % 4 === 2)
  const ahead = jumps(dayMs, (generation) => generation % 4 === 3)
  return outages(
    (generation) => generation % 4 === 1,
    (world, trueMs) => behind(world, trueMs) + ahead(world, trueMs),
  )
}

/** What passes of a lifetime, at most, before a renewal is due. */
function lastAgeMs(lifetimeMs: number, everyMs: number): number {
  if (lifetimeMs < 10 * dayMs) return lifetimeMs / 2
  return lifetimeMs - Math.max(lifetimeMs / 3, 0.3 * lifetimeMs + dayMs + everyMs)
}

/** With a window: the point in the part of it before the last moment; without, a little earlier by chance. */
function dueAgeMs(lifetimeMs: number, everyMs: number, draw: number, usual: boolean): number {
  const last = lastAgeMs(lifetimeMs, everyMs)
  const idealMs = lifetimeMs < 10 * dayMs ? lifetimeMs / 2 : (lifetimeMs * 2) / 3
  const startMs = idealMs - lifetimeMs / 100
  return usual && startMs < last ? startMs + (last - startMs) * draw : last - 0.02 * lifetimeMs * draw
}

for (const [often, everyMs] of looks) {
  for (const [how, suggests] of windows) {
    for (const [life, lifetimeMs] of lifetimes) {
      test(`five years of ${life}, looked at ${often}, ${how}: as many certificates as the lifetime makes necessary`, () => {
        const own = suggests === usualWindow ? 0.5 : 0
        const quiet = world(lifetimeMs, everyMs, suggests, () => own)
        const { expiredMs } = live(quiet, calm)
        const ageMs = dueAgeMs(lifetimeMs, everyMs, own, suggests === usualWindow) - hourMs
        // The last look that is not after the point: the next one would be too late.
        const periodMs = Math.max(1, Math.ceil((ageMs + 1) / everyMs) - 1) * everyMs
        assert.equal(expiredMs, 0)
        assert.equal(quiet.ca.issued.length, Math.ceil(yearsMs / periodMs))
        assert.deepEqual([quiet.ca.refused.length, quiet.keeper.held], [0, 0])
      })

      test(`five years of ${life}, looked at ${often}, ${how}, with outages and a wrong clock: never expired`, () => {
        const hard = world(lifetimeMs, everyMs, suggests, draws(lifetimeMs))
        const { expiredMs, agesMs } = live(hard, troubles())
        assert.equal(expiredMs, 0)
        assert.deepEqual([hard.ca.refused.length, hard.keeper.held], [0, 0])
        const earliestMs = lastAgeMs(lifetimeMs, everyMs) - 0.02 * lifetimeMs - everyMs
        agesMs.forEach((ageMs, at) => {
          assert.ok(
            ageMs >= earliestMs - (at % 4 === 2 ? dayMs : 0),
            `number ${at + 1} came after ${ageMs / dayMs} days`,
          )
        })
        assert.ok(agesMs.length >= Math.floor(yearsMs / lifetimeMs))
      })
    }
  }
}

/** Both at once, at each certificate. */
function behindAndDown(lifetimeMs: number, everyMs: number, suggests: Suggests | null): number {
  const behind = jumps(-dayMs, () => true)
  const trouble = outages(() => true, behind)
  return live(world(lifetimeMs, everyMs, suggests, draws(lifetimeMs)), trouble).expiredMs
}

for (const [often, everyMs] of looks) {
  for (const [life, lifetimeMs] of lifetimes) {
    test(`${life}, looked at ${often}, a clock that is a day behind and then an outage, each time: never expired`, () => {
      for (const [, suggests] of windows) assert.equal(behindAndDown(lifetimeMs, everyMs, suggests), 0)
    })
  }
}

test('an attempt that fails while our clock is a year ahead does not hold up those after it', () => {
  for (const [, lifetimeMs] of lifetimes) {
    let seen = 0
    const { expiredMs } = live(world(lifetimeMs, hourMs, usualWindow, draws(3)), ({ ca, keeper: by, kept }, trueMs) => {
      const { length } = kept.generations
      if (length === seen || !wants(by, kept, trueMs)) return 0
      seen = length
      ca.stop(trueMs + hourMs)
      return 365 * dayMs
    })
    assert.equal(expiredMs, 0)
  }
})

test('any lifetime of six days or more, looked at each hour: no outage of 30 % of it, whenever it begins, is too long', () => {
  const some = fc.record({
    lifetimeMs: fc.integer({ min: 6 * dayMs, max: 60 * dayMs }),
    suggests: fc.constantFrom(...windows.map(([, each]) => each)),
    beginsAfter: fc.double({ min: 0, max: 2, noNaN: true }),
    seed: fc.nat(),
  })
  fc.assert(
    fc.property(some, ({ lifetimeMs, suggests, beginsAfter, seed }) => {
      const one = world(lifetimeMs, hourMs, suggests, draws(seed))
      let begins = startMs + Math.max(1, beginsAfter) * hourMs + beginsAfter * lifetimeMs
      const { expiredMs } = live(one, (_, trueMs) => {
        if (trueMs >= begins) {
          one.ca.stop(begins + 0.3 * lifetimeMs)
          begins = Number.POSITIVE_INFINITY
        }
        return 0
      })
      assert.equal(expiredMs, 0)
    }),
  )
})

for (const [often, everyMs] of looks) {
  for (const [life, lifetimeMs] of lifetimes) {
    test(`${life}, looked at ${often}: a CA whose windows all lie in the past gets at most five orders a week`, () => {
      const past: Suggests = ({ notBeforeMs }) => ({ startMs: notBeforeMs - dayMs, endMs: notBeforeMs })
      const early = world(lifetimeMs, everyMs, past, draws(lifetimeMs))
      assert.equal(live(early, calm).expiredMs, 0)
      const { issued, refused } = early.ca
      const inWeek = ({ atMs }: { atMs: number }) =>
        issued.filter((each) => each.atMs >= atMs && each.atMs < atMs + 7 * dayMs).length
      const most = Math.max(...issued.map(inWeek))
      assert.ok(most <= 5, `${most} in a week`)
      assert.deepEqual([refused.length, early.keeper.held], [0, 0])
    })
  }
}

test('sixty new certificates below one domain: fifty at once, the others as fast as the CA lets them, none refused', () => {
  const ca = simulatedCa(90 * dayMs, usualWindow)
  const by = keeper(new Map([['first', ca]]), hourMs, draws(1))
  const all = Array.from({ length: 60 }, (_, at) => lineage(`w${at}.domain.example`))
  let lastMs = startMs
  for (let trueMs = startMs; trueMs < startMs + 365 * dayMs; trueMs += hourMs) {
    for (const kept of all) lookAt(by, kept, trueMs, trueMs)
    if (trueMs === startMs) assert.equal(ca.issued.length, 50)
    if (all.some((kept) => newestOf(kept) === null)) lastMs = trueMs + hourMs
  }
  assert.deepEqual(ca.refused, [])
  assert.ok(by.held > 0)
  assert.ok(
    lastMs - startMs >= 10 * 201.6 * 60_000 && lastMs - startMs < 2 * dayMs,
    `${(lastMs - startMs) / hourMs} hours`,
  )
})

test('the first of two CAs is down for two years: the second takes over each time, and the first again afterwards', () => {
  for (const [, lifetimeMs] of lifetimes) {
    const first = simulatedCa(lifetimeMs, usualWindow)
    const second = simulatedCa(lifetimeMs, null)
    const cas = new Map([
      ['first', first],
      ['second', second],
    ])
    const both: World = {
      ca: first,
      keeper: keeper(cas, hourMs, draws(2)),
      kept: lineage('www.domain.example'),
      lifetimeMs,
    }
    const outage = { fromMs: startMs + 365 * dayMs, untilMs: startMs + 3 * 365 * dayMs }
    const { expiredMs } = live(both, (_, trueMs) => {
      if (trueMs === outage.fromMs) first.stop(outage.untilMs)
      return 0
    })
    assert.equal(expiredMs, 0)
    assert.deepEqual([first.refused, second.refused, both.keeper.held], [[], [], 0])
    assert.ok(second.issued.length > 0)
    for (const { atMs } of second.issued) assert.ok(atMs > outage.fromMs && atMs < outage.untilMs)
    assert.equal(both.kept.generations.at(-1)?.ca, 'first')
  }
})
