import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Membership } from '../../src/fleet/placement.ts'
import type { MemberState } from '../../src/rollout/balancer.ts'
import { decideDrain, holdMs } from '../../src/rollout/drain.ts'
import { countSample, sampleSize, sampleText } from '../../src/rollout/sample.ts'

describe('a member that is to be drained', () => {
  const member = (facts: Partial<MemberState>): MemberState => ({ state: 'up', sessions: 0, others: 2, ...facts })
  for (const [what, facts, held, decision] of [
    ['is drained where others take connections', {}, 0, 'drain'],
    ['is drained beside one that we hold already', { others: 1 }, 1, 'drain'],
    ['is not drained where it is the last', { others: 0 }, 0, 'last'],
    ['waits where the others are held by us, for they come back', { others: 0 }, 1, 'wait'],
    ['is left alone in maintenance', { state: 'maint' }, 0, 'leave'],
    ['is left alone where somebody else drained it', { state: 'drain' }, 1, 'leave'],
    ['is left alone where it is down, also as the last', { state: 'down', others: 0 }, 0, 'leave'],
  ] as const) {
    test(what, () => assert.equal(decideDrain(member(facts), held), decision))
  }

  test('is held long enough for the drains at all its balancers, the confirm time, and others before it', () => {
    const at = (drainWithinMs: number) => ({ control: { drainWithinMs } }) as Membership
    assert.equal(holdMs([at(30_000)], 120_000), 300_000)
    assert.equal(holdMs([at(30_000), at(10_000)], 120_000), 320_000)
  })
})

describe('the sample through a balancer', () => {
  test('meets each member in 99 of 100 samples, and one more than the fleet file has', () => {
    assert.deepEqual([1, 2, 3, 10].map(sampleSize), [8, 15, 21, 74])
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 24 }), (members) => {
        const all = members + 1
        const missedAny = all * (1 - 1 / all) ** sampleSize(members)
        assert.ok(missedAny <= 0.01, `${members}: ${missedAny}`)
      }),
    )
  })

  test('has a limit, whatever the number of members', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), (members) => {
        assert.ok(sampleSize(members) >= 8 && sampleSize(members) <= 200)
      }),
    )
  })

  const [ours, theirs, above] = ['a'.repeat(64), 'b'.repeat(64), 'c'.repeat(64)]
  const generation = { chain: [ours, above] }
  const saw = (...chain: string[]) => ({ chain, failure: null })

  test('counts what was seen, the most frequent first', () => {
    const right = countSample([saw(ours, above), saw(ours, above)], generation)
    assert.equal(sampleText(right), '2 × aaaaaaaa')
    const looks = [saw(theirs), saw(ours, above), saw(ours, above), { chain: null, failure: 'it refuses' }]
    const mixed = countSample(looks, generation)
    assert.deepEqual(
      mixed.seen.map(({ fingerprint, connections, wrong }) => [fingerprint, connections, wrong === null]),
      [
        [ours, 2, true],
        [theirs, 1, false],
      ],
    )
    assert.deepEqual([mixed.connections, mixed.failed, mixed.failure], [4, 1, 'it refuses'])
    assert.equal(
      sampleText(mixed),
      '2 × aaaaaaaa, 1 × bbbbbbbb (serves bbbbbbbb, expected aaaaaaaa), 1 showed nothing (it refuses)',
    )
  })

  test('tells the right leaf with a wrong chain from the right one', () => {
    const { seen } = countSample([saw(ours, above), saw(ours)], generation)
    assert.deepEqual(
      seen.map(({ connections, wrong }) => [connections, wrong]),
      [
        [1, null],
        [1, 'serves an incomplete chain'],
      ],
    )
  })

  test('is right about nothing where nothing was issued yet', () => {
    assert.equal(countSample([saw(theirs)], null).seen[0]?.wrong, 'nothing was issued yet')
  })
})
