import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decideQuarantine, type QuarantineFacts } from '../../src/rollout/quarantine.ts'

const hourMs = 3_600_000
const nowMs = Date.UTC(2026, 10, 25)
const policy = { beforeMs: 48 * hourMs, keep: 1 }

/** Published, proven, with 60 days left. */
function server(name: string, facts: Partial<QuarantineFacts> & { leftHours?: number | null } = {}): QuarantineFacts {
  const { leftHours = 1_440, ...rest } = facts
  const notAfterMs = leftHours === null ? null : nowMs + leftHours * hourMs
  return { server: name, addresses: 1, published: 1, quarantined: false, proven: true, notAfterMs, ...rest }
}

const old = (name: string, leftHours: number | null, more: Partial<QuarantineFacts> = {}) =>
  server(name, { proven: false, leftHours, ...more })

function acts(servers: readonly QuarantineFacts[], keep = 1): string[] {
  const addresses = servers.reduce((sum, { published }) => sum + published, 0)
  return decideQuarantine(servers, { ...policy, keep }, { addresses, nowMs }).map(
    ({ act, server: name }) => `${act} ${name}`,
  )
}

const good = server('good')
const cases: readonly (readonly [string, readonly QuarantineFacts[], number, readonly string[]])[] = [
  ['nothing is done where all are proven', [good, server('b')], 1, []],
  ['one that ends soon and is not renewed goes', [good, old('b', 47)], 1, ['withdraw b']],
  ['one that has ended goes', [good, old('b', -3)], 1, ['withdraw b']],
  ['one that has time left stays', [good, old('b', 49)], 1, []],
  ['one of which nobody knows the end stays', [good, old('b', null)], 1, []],
  ['one that is out already is not taken out again', [good, old('b', 1, { published: 0, quarantined: true })], 1, []],
  ['one with two addresses goes with both', [good, old('b', 1, { addresses: 2, published: 2 })], 1, ['withdraw b']],
  [
    'one that came back half-way comes back whole, and goes again where it is not proven',
    [
      good,
      server('b', { addresses: 2, published: 1, quarantined: true }),
      old('c', 1, { addresses: 2, published: 1, quarantined: true }),
    ],
    1,
    ['restore b', 'withdraw c'],
  ],
  ['it stays where that would leave too few', [good, old('b', 1, { addresses: 2, published: 2 })], 2, []],
  ['none goes where none is better', [old('a', 1), old('b', 2)], 1, []],
  ['none goes where the best one is not published', [server('a', { published: 0 }), old('b', 2)], 1, []],
  ['none goes where the newest ends as soon itself', [server('a', { leftHours: 20 }), old('b', 2)], 1, []],
  [
    'the soonest goes first, and the others stay with keep',
    [good, old('b', 5), old('c', 2), old('d', 9)],
    2,
    ['withdraw c', 'withdraw b'],
  ],
  ['one that is proven again comes back', [good, server('b', { published: 0, quarantined: true })], 1, ['restore b']],
  ['one that we did not take out does not come back', [good, server('b', { published: 0 })], 1, []],
  [
    'one that comes back makes room for one that goes',
    [good, server('b', { published: 0, quarantined: true }), old('c', 2)],
    2,
    ['restore b', 'withdraw c'],
  ],
]

for (const [what, servers, keep, expected] of cases) {
  test(what, () => assert.deepEqual(acts(servers, keep), expected))
}

test('whatever is known, keep addresses and one that is better are left, and nobody both goes and comes', () => {
  const facts = fc.record({
    published: fc.nat(2),
    quarantined: fc.boolean(),
    proven: fc.boolean(),
    leftHours: fc.option(fc.integer({ min: -100, max: 200 })),
  })
  fc.assert(
    fc.property(fc.array(facts, { maxLength: 8 }), fc.integer({ min: 1, max: 5 }), fc.nat(4), (all, keep, foreign) => {
      const servers = all.map((each, at) => server(`s${at}`, { addresses: 2, ...each }))
      const addresses = servers.reduce((sum, { published }) => sum + published, 0) + foreign
      const decisions = decideQuarantine(servers, { ...policy, keep }, { addresses, nowMs })
      const [gone, back] = ['withdraw', 'restore'].map((act) => decisions.filter((each) => each.act === act))
      if (!gone || !back || gone.length === 0) return
      const of = (decided: typeof decisions) =>
        servers.filter((each) => decided.some((one) => one.server === each.server))
      const came = of(back).reduce((sum, each) => sum + each.addresses - each.published, 0)
      const left = addresses + came - of(gone).reduce((sum, { published }) => sum + published, 0)
      assert.ok(left >= keep)
      const names = gone.map(({ server: name }) => name)
      assert.ok(servers.some((each) => each.published && each.proven && !names.includes(each.server)))
      assert.ok(back.every(({ server: name }) => !names.includes(name)))
    }),
  )
})
