import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Secret } from '../../src/base/secret.ts'
import type { Site } from '../../src/fleet/fleet.ts'
import { servedWrong } from '../../src/observe/served.ts'
import { decide, type Found } from '../../src/rollout/decide.ts'
import { fileHashes, type Generation, generationName } from '../../src/rollout/generation.ts'
import { licenceSeats } from '../../src/rollout/licence.ts'
import { spareLastHealthy, stopReason, waves } from '../../src/rollout/wave.ts'

const nothing: Found = {
  current: null,
  match: null,
  held: null,
  unconfirmed: null,
  adoptable: false,
  linked: true,
  have: [],
  tickets: null,
  clockMs: 0,
}
const found = (facts: Partial<Found>): Found => ({ ...nothing, ...facts })

describe('the next thing to do at one server', () => {
  for (const [what, facts, decision] of [
    ['an empty server gets the key', {}, { kind: 'stage', reuse: null }],
    ['a server that holds the key gets the chain alone', { held: 'gen-0003' }, { kind: 'stage', reuse: 'gen-0003' }],
    [
      'what lies there already is swapped in',
      { match: 'gen-0004', held: 'gen-0004' },
      { kind: 'swap', generation: 'gen-0004' },
    ],
    [
      'an unconfirmed swap to what we want is gone on with',
      { current: 'gen-0004', match: 'gen-0004', unconfirmed: 'gen-0004' },
      { kind: 'resume', generation: 'gen-0004' },
    ],
    [
      'an unconfirmed swap to something else is undone',
      { current: 'gen-0004', match: 'gen-0005', unconfirmed: 'gen-0004' },
      { kind: 'undo' },
    ],
    [
      'an unconfirmed swap is undone where nothing fits',
      { current: 'gen-0004', unconfirmed: 'gen-0004' },
      { kind: 'undo' },
    ],
    ['files of somebody else are adopted before anything is staged', { adoptable: true }, { kind: 'adopt' }],
    ['an unconfirmed swap comes before adoption', { adoptable: true, unconfirmed: 'gen-0004' }, { kind: 'undo' }],
  ] as const) {
    test(what, () => assert.deepEqual(decide(found(facts)), decision))
  }
})

describe('waves', () => {
  const names = (count: number) => Array.from({ length: count }, (_, at) => `s${at + 1}`)
  const policy = (canary: number, wave: { servers: number } | { share: number }) => ({
    canary,
    wave,
    confirmWithinMs: 1,
  })

  test('the canary first, then the share of what is left', () => {
    assert.deepEqual(
      waves(names(9), policy(1, { share: 0.25 })).map((wave) => wave.length),
      [1, 2, 2, 2, 2],
    )
    assert.deepEqual(waves(names(3), policy(1, { share: 1 })), [['s1'], ['s2', 's3']])
    assert.deepEqual(waves([], policy(1, { share: 1 })), [])
  })

  test('every server is in exactly one wave, in the order of the fleet file', () => {
    const sizes = fc.oneof(
      fc.record({ servers: fc.integer({ min: 1, max: 50 }) }),
      fc.record({ share: fc.double({ min: 0.01, max: 1, noNaN: true }) }),
    )
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 1, max: 5 }), sizes, (count, canary, wave) => {
        const cut = waves(names(count), policy(canary, wave))
        assert.deepEqual(cut.flat(), names(count))
        assert.ok(cut.every((each) => each.length > 0))
        assert.ok((cut[0]?.length ?? 0) <= canary)
      }),
    )
  })

  test('no wave holds all servers of a site where one of them may die of a reload; no server is lost', () => {
    const site = (servers: readonly string[]): Site => ({
      name: 'www.lab.example',
      certificates: ['www'],
      topology: { kind: 'dns', servers },
    })
    assert.deepEqual(spareLastHealthy([['a'], ['b', 'c']], [site(['b', 'c'])], new Set(['c'])), [['a'], ['b'], ['c']])
    assert.deepEqual(spareLastHealthy([['a', 'b']], [site(['a', 'b'])], new Set()), [['a', 'b']])
    assert.deepEqual(spareLastHealthy([['a']], [site(['a'])], new Set(['a'])), [['a']], 'one server cannot be helped')
    const servers = names(8)
    fc.assert(
      fc.property(
        fc.array(fc.subarray(servers, { minLength: 2 }), { maxLength: 4 }),
        fc.subarray(servers),
        fc.integer({ min: 1, max: 8 }),
        (members, fragile, size) => {
          const cut = waves(servers, policy(1, { servers: size }))
          const spread = spareLastHealthy(cut, members.map(site), new Set(fragile))
          assert.deepEqual(spread.flat().toSorted(), servers.toSorted())
          for (const each of members) {
            for (const wave of spread) {
              const whole = each.every((server) => wave.includes(server))
              assert.ok(!whole || !each.some((server) => fragile.includes(server)), `${wave} holds all of ${each}`)
            }
          }
        },
      ),
    )
  })

  test('when a rollout stops', () => {
    const tally = { servers: 100, failed: 0, unreachable: 0, canary: false }
    assert.equal(stopReason(tally), null)
    assert.match(stopReason({ ...tally, failed: 1, canary: true }) ?? '', /canary/)
    assert.equal(stopReason({ ...tally, failed: 4 }), null)
    assert.match(stopReason({ ...tally, failed: 5 }) ?? '', /5 of 100 servers failed \(limit 5\)/)
    assert.match(stopReason({ ...tally, servers: 3, failed: 1 }) ?? '', /1 of 3/)
    assert.equal(stopReason({ ...tally, unreachable: 50 }), null, 'servers that are down do not stop the others')
    assert.match(stopReason({ ...tally, unreachable: 51 }) ?? '', /cannot be reached/)
    assert.equal(stopReason({ ...tally, servers: 1, unreachable: 1 }), null)
  })
})

describe('licence seats', () => {
  const wanted = ['a', 'b', 'c', 'd']

  test('free seats go in the order of the fleet file', () => {
    assert.deepEqual(licenceSeats(wanted, new Set(), 2), { allowed: ['a', 'b'], blocked: ['c', 'd'] })
    assert.deepEqual(licenceSeats(wanted, new Set(), undefined), { allowed: wanted, blocked: [] })
  })

  test('a server with a copy keeps its seat, and is never blocked, however few there are (I11)', () => {
    assert.deepEqual(licenceSeats(wanted, new Set(['d']), 2), { allowed: ['a', 'd'], blocked: ['b', 'c'] })
    fc.assert(
      fc.property(fc.subarray(wanted), fc.integer({ min: 1, max: 5 }), (holding, seats) => {
        const holders = new Set(holding)
        const { allowed, blocked } = licenceSeats(wanted, holders, seats)
        assert.deepEqual([...allowed, ...blocked].toSorted(), wanted)
        for (const server of holding) assert.ok(allowed.includes(server))
        assert.ok(new Set([...allowed, ...holding]).size <= Math.max(seats, holders.size))
      }),
    )
  })

  test('a copy on a server that left the fleet file holds its seat', () => {
    assert.deepEqual(licenceSeats(['a', 'b'], new Set(['gone']), 2), { allowed: ['a'], blocked: ['b'] })
  })
})

test('what is served is the generation only with this leaf and this chain, in order', () => {
  const chain = ['leaf', 'one', 'two']
  assert.equal(servedWrong(chain, { chain }), null)
  assert.equal(servedWrong([...chain, 'root'], { chain }), null, 'a root at the end does no harm')
  assert.match(servedWrong(['other', 'one', 'two'], { chain }) ?? '', /serves other, expected leaf/)
  assert.match(servedWrong(['leaf', 'one'], { chain }) ?? '', /incomplete/)
  assert.match(servedWrong(['leaf', 'other', 'one'], { chain }) ?? '', /another chain/)
  assert.match(servedWrong(['leaf', 'two', 'one'], { chain }) ?? '', /another order/)
  assert.match(servedWrong(['leaf', 'leaf', 'one', 'two'], { chain }) ?? '', /others in between/)
  assert.match(servedWrong([], { chain }) ?? '', /serves nothing/)
})

test('a generation has a name that is not taken on the server', () => {
  assert.equal(generationName(8, []), 'gen-0008')
  assert.equal(generationName(8, ['gen-0008']), 'gen-0008.2')
  assert.equal(generationName(8, ['gen-0008', 'gen-0008.2']), 'gen-0008.3')
  assert.equal(generationName(12_345, []), 'gen-12345')
})

test('the combined file is chain and key, and its hash is that of both', () => {
  const generation = { chainPem: 'chain\n', keyPem: new Secret('key\n') } as Generation
  const hashes = fileHashes(generation)
  assert.equal(new Set([hashes.key, ...Object.values(hashes.byLayout)]).size, 4)
  assert.equal(
    fileHashes({ ...generation, chainPem: 'chain\nkey\n', keyPem: new Secret('') }).byLayout.combined,
    hashes.byLayout.combined,
  )
  assert.equal(
    fileHashes({ ...generation, chainPem: 'key\nchain\n', keyPem: new Secret('') }).byLayout.combined,
    hashes.byLayout['key-first'],
  )
})
