import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalJson, link, verifyChain } from '../../src/ledger/chain.ts'
import type { Store } from '../../src/store/store.ts'
import { refusalOf } from '../base/refusals.ts'
import { killWhileWriting } from '../base/victim.ts'
import { generationOf, observationOf } from './rows.ts'
import { race, type StoreAddress, workerScript, workerWords } from './worker.ts'

/** A place for the state of one test, empty at first. */
export interface StorePlace extends AsyncDisposable {
  /** Another connection to the same state, each time. */
  open(): Promise<Store>
  readonly address: StoreAddress
}

/** On a machine that nobody can ask whether it still runs. */
const holder = 'elsewhere:1:1'
const minuteMs = 60_000

/** What every store promises. */
export function storeContract(kind: string, makePlace: () => Promise<StorePlace>): void {
  const promise = (what: string, prove: (place: StorePlace, store: Store) => Promise<void>) =>
    test(`${kind}: ${what}`, async () => {
      await using place = await makePlace()
      const store = await place.open()
      try {
        await prove(place, store)
      } finally {
        await store.close()
      }
    })

  promise('generations are numbered from 1 without a gap, each lineage by itself', async (_, store) => {
    for (let number = 1; number <= 5; number++) {
      for (const lineage of ['www', 'api']) {
        const row = await store.addGeneration(generationOf(lineage, `${number}`))
        assert.deepEqual(row, { ...generationOf(lineage, `${number}`), number })
      }
    }
    const numbers = (await store.generations('www')).map(({ number }) => number)
    assert.deepEqual(numbers, [1, 2, 3, 4, 5])
  })

  promise('the newest generation is the last one, and null where there is none', async (_, store) => {
    assert.equal(await store.newestGeneration('www'), null)
    assert.deepEqual(await store.generations('www'), [])
    for (let number = 1; number <= 11; number++) await store.addGeneration(generationOf('www', `${number}`))
    assert.deepEqual(await store.newestGeneration('www'), { ...generationOf('www', '11'), number: 11 })
    assert.equal(await store.newestGeneration('api'), null)
  })

  promise('the same leaf again gives the generation that is there, and uses up no number', async (_, store) => {
    const first = await store.addGeneration(generationOf('www', 'a'))
    const again = await store.addGeneration({ ...generationOf('www', 'a'), issuer: 'other', createdAtMs: 5 })
    assert.deepEqual(again, first)
    assert.equal((await store.addGeneration(generationOf('api', 'a'))).number, 1)
    assert.equal((await store.addGeneration(generationOf('www', 'b'))).number, 2)
    assert.equal((await store.generations('www')).length, 2)
  })

  promise(
    'the leaf of an older generation is refused, with both numbers and dates, and uses up no number',
    async (_, store) => {
      for (const seed of ['a', 'b', 'c']) await store.addGeneration(generationOf('www', seed))
      for (const seed of ['a', 'b']) {
        const error = await refusalOf(() => store.addGeneration(generationOf('www', seed)))
        assert.deepEqual([error.code, error.exit], ['CERT_OLDER', 65])
        const fact = `generation ${seed === 'a' ? 1 : 2} is valid 2027-01-01 to 2027-04-01; generation 3, the newest, 2027-01-01 to 2027-04-01`
        assert.equal(error.failure.fact, fact)
        assert.match(
          `${error.failure.state}, ${error.failure.next}`,
          /generation 3 stays; .*issuer lab.*onecert apply$/,
        )
      }
      assert.equal((await store.addGeneration(generationOf('www', 'c'))).number, 3)
      assert.deepEqual(
        (await store.generations('www')).map(({ number }) => number),
        [1, 2, 3],
      )
    },
  )

  promise('an older certificate of the same key is refused, one of another key is not', async (_, store) => {
    const { spki } = await store.addGeneration(generationOf('www', 'a'))
    const { notBeforeMs, notAfterMs } = generationOf('www', 'a')
    const older = { notBeforeMs: notBeforeMs - 1_000, notAfterMs: notAfterMs - 1_000 }
    const same = { ...generationOf('www', 'b'), ...older, spki }
    assert.equal((await refusalOf(() => store.addGeneration(same))).code, 'CERT_OLDER')
    // Of a shorter lifetime; or the newest has the dates of a clock that was ahead.
    assert.equal((await store.addGeneration({ ...same, notBeforeMs: notBeforeMs + 1_000 })).number, 2)
    const early = { ...generationOf('www', 'c'), ...older, spki, createdAtMs: notBeforeMs - 1 }
    assert.equal((await store.addGeneration(early)).number, 3)
    assert.equal((await store.addGeneration({ ...generationOf('www', 'd'), ...older })).number, 4)
  })

  promise('all that was written is there for another connection and after closing', async (place, store) => {
    await store.addGeneration(generationOf('www', 'a'))
    await store.startRollout({ id: 'r', lineage: 'www', generation: 1, token: 7, startedAtMs: 1 })
    await store.setServerState('r', 'web-1', 'committed', { step: 'commit' }, 2)
    await store.finishRollout('r', { finishedAtMs: 3, outcome: 'done' })
    await store.recordObservation(observationOf('web-1', 'www.domain.example', 4))
    await store.appendRecord([{ atMs: 5, body: '{}' }], link)
    const { token } = await store.acquireLease('www', { holder, nowMs: 0, lifetimeMs: minuteMs })
    const facts = async (from: Store) => [
      await from.generations('www'),
      [...(await from.committedGenerations('www'))],
      await from.observations(),
      await from.record(),
    ]
    const here = await facts(store)
    assert.deepEqual(
      here.map((each) => each.length),
      [1, 1, 1, 1],
    )
    const beside = await place.open()
    assert.deepEqual(await facts(beside), here)
    await beside.close()
    await store.close()
    const later = await place.open()
    assert.deepEqual(await facts(later), here)
    const error = await refusalOf(() => later.acquireLease('www', { holder, nowMs: 1, lifetimeMs: 1 }))
    assert.equal(error.code, 'LEASE_HELD')
    await later.renewLease('www', token, { nowMs: 1, lifetimeMs: 1 })
    await later.close()
    Object.assign(store, { close: async () => {} })
  })

  promise('several processes that add generations at once get every number once', async (place, store) => {
    const told = await race(3, place.address, 'generations', 25)
    const numbers = told.flat().map(Number)
    const all = Array.from({ length: 75 }, (_, at) => at + 1)
    assert.deepEqual(
      numbers.toSorted((left, right) => left - right),
      all,
    )
    for (const mine of told)
      assert.deepEqual(
        mine,
        mine.toSorted((left, right) => Number(left) - Number(right)),
      )
    assert.deepEqual(
      (await store.generations('shared')).map(({ number }) => number),
      all,
    )
  })

  promise('who only looks sees whether a lease is held, and that another one had it meanwhile', async (_, store) => {
    assert.deepEqual(await store.lease('www', 100_000), { token: 0, held: false })
    const { token } = await store.acquireLease('www', { holder, nowMs: 100_000, lifetimeMs: minuteMs })
    assert.deepEqual(await store.lease('www', 159_999), { token, held: true })
    assert.deepEqual(await store.lease('www', 160_000), { token, held: false })
    assert.equal((await store.lease('api', 100_000)).held, false)
    await store.releaseLease('www', token)
    assert.deepEqual(await store.lease('www', 100_001), { token, held: false })
  })

  promise('a lease that is held is refused to another, with who holds it and for how long', async (_, store) => {
    await store.acquireLease('www', { holder, nowMs: 100_000, lifetimeMs: minuteMs })
    for (const nowMs of [100_000, 130_000, 159_999]) {
      const error = await refusalOf(() => store.acquireLease('www', { holder: 'third:1:1', nowMs, lifetimeMs: 1 }))
      assert.deepEqual([error.code, error.exit, error.retryable], ['LEASE_HELD', 75, true])
      const [since, left] = [Math.round((nowMs - 100_000) / 1000), Math.round((160_000 - nowMs) / 1000)]
      assert.match(error.failure.fact ?? '', new RegExp(`elsewhere, since ${since} s; its lease ends in ${left} s`))
    }
    assert.ok(await store.acquireLease('api', { holder, nowMs: 100_000, lifetimeMs: minuteMs }))
  })

  promise(
    'a lease is free again at the moment it ends, and its late holder is refused from then on',
    async (_, store) => {
      const late = await store.acquireLease('www', { holder, nowMs: 0, lifetimeMs: minuteMs })
      const next = await store.acquireLease('www', { holder: 'third:1:1', nowMs: minuteMs, lifetimeMs: minuteMs })
      assert.ok(next.token > late.token)
      const error = await refusalOf(() =>
        store.renewLease('www', late.token, { nowMs: minuteMs, lifetimeMs: minuteMs }),
      )
      assert.deepEqual([error.code, error.exit], ['LEASE_LOST', 75])
      assert.match(error.message, /www/)
      const tokens = `its fencing token is ${next.token}, ours is ${late.token}`
      assert.equal(error.failure.fact, `process 1 on third, 0 s ago; ${tokens}`)
      await store.releaseLease('www', late.token)
      const held = await refusalOf(() => store.acquireLease('www', { holder, nowMs: minuteMs + 1, lifetimeMs: 1 }))
      assert.equal(held.code, 'LEASE_HELD')
      await store.renewLease('www', next.token, { nowMs: minuteMs + 1, lifetimeMs: minuteMs })
    },
  )

  promise('a lease that is renewed in time stays', async (_, store) => {
    const { token } = await store.acquireLease('www', { holder, nowMs: 0, lifetimeMs: minuteMs })
    for (let nowMs = 30_000; nowMs < 300_000; nowMs += 30_000) {
      await store.renewLease('www', token, { nowMs, lifetimeMs: minuteMs })
    }
    const wanted = { holder: 'third:1:1', nowMs: 270_000 + minuteMs - 1, lifetimeMs: 1 }
    assert.equal((await refusalOf(() => store.acquireLease('www', wanted))).code, 'LEASE_HELD')
    assert.ok(await store.acquireLease('www', { ...wanted, nowMs: 270_000 + minuteMs }))
  })

  promise('a lease that was given back is free at once, and its token is not used again', async (_, store) => {
    const first = await store.acquireLease('www', { holder, nowMs: 0, lifetimeMs: minuteMs })
    await store.releaseLease('www', first.token)
    const second = await store.acquireLease('www', { holder, nowMs: 0, lifetimeMs: minuteMs })
    assert.ok(second.token > first.token)
  })

  promise('a lease that was given back cannot be renewed', async (_, store) => {
    const { token } = await store.acquireLease('www', { holder, nowMs: 0, lifetimeMs: minuteMs })
    await store.releaseLease('www', token)
    const error = await refusalOf(() => store.renewLease('www', token, { nowMs: 1, lifetimeMs: minuteMs }))
    assert.equal(error.code, 'LEASE_LOST')
    assert.match(error.message, /www was given back/)
  })

  promise('nobody renews a lease that nobody has', async (_, store) => {
    const error = await refusalOf(() => store.renewLease('www', 1, { nowMs: 0, lifetimeMs: 1 }))
    assert.equal(error.code, 'LEASE_LOST')
    await store.releaseLease('www', 1)
    assert.ok(await store.acquireLease('www', { holder, nowMs: 0, lifetimeMs: 1 }))
  })

  promise('fencing tokens only grow, whatever the clock does', async (_, store) => {
    const clock = fc.array(fc.nat({ max: 4_000_000_000_000 }), { minLength: 2, maxLength: 8 })
    let lineage = 0
    await fc.assert(
      fc.asyncProperty(clock, fc.boolean(), async (times, givenBack) => {
        lineage += 1
        let [last, lastMs] = [0, -1]
        for (const nowMs of times) {
          if (givenBack || nowMs < lastMs) await store.releaseLease(`l${lineage}`, last)
          const { token } = await store.acquireLease(`l${lineage}`, { holder, nowMs, lifetimeMs: 0 })
          assert.ok(Number.isSafeInteger(token) && token > last)
          ;[last, lastMs] = [token, nowMs]
        }
      }),
      { numRuns: 15 },
    )
  })

  promise('a controller that lost its state gets greater tokens than it had', async (_, store) => {
    const nowMs = Date.UTC(2027, 0, 1)
    const { token } = await store.acquireLease('www', { holder, nowMs, lifetimeMs: 1 })
    await using empty = await makePlace()
    const fresh = await empty.open()
    const again = await fresh.acquireLease('www', { holder, nowMs: nowMs + 1_000, lifetimeMs: 1 })
    assert.ok(again.token > token)
    await fresh.close()
  })

  promise('of several processes that want a lease at once, one gets it', async (place) => {
    const told = (await race(3, place.address, 'leases', 15)).flat()
    for (let number = 1; number <= 15; number++) {
      const outcomes = told.filter((line) => line.startsWith(`l${number} `)).map((line) => line.split(' ')[1])
      assert.deepEqual(outcomes.toSorted(), ['LEASE_HELD', 'LEASE_HELD', 'acquired'], `l${number}`)
    }
  })

  promise(
    'the committed generation of a server is the last that was committed there, nothing less',
    async (_, store) => {
      const committed = async () => [...(await store.committedGenerations('www'))].toSorted()
      for (const [generation, id] of ['a', 'b', 'c'].entries()) {
        await store.startRollout({ id, lineage: 'www', generation: generation + 1, token: 1, startedAtMs: 0 })
      }
      await store.startRollout({ id: 'other', lineage: 'api', generation: 9, token: 1, startedAtMs: 0 })
      for (const state of ['staged', 'swapped', 'failed', 'rolled-back'])
        await store.setServerState('a', 'web-1', state, {}, 1)
      assert.deepEqual(await committed(), [])
      await store.setServerState('b', 'web-1', 'committed', {}, 2)
      await store.setServerState('b', 'web-2', 'committed', {}, 2)
      await store.setServerState('other', 'web-2', 'committed', {}, 2)
      assert.deepEqual(await committed(), [
        ['web-1', 2],
        ['web-2', 2],
      ])
      await store.setServerState('c', 'web-1', 'committed', {}, 3)
      await store.setServerState('c', 'web-2', 'failed', {}, 3)
      assert.deepEqual(await committed(), [
        ['web-1', 3],
        ['web-2', 2],
      ])
      await store.setServerState('a', 'web-1', 'committed', {}, 4)
      assert.deepEqual(await committed(), [
        ['web-1', 1],
        ['web-2', 2],
      ])
      assert.deepEqual([...(await store.committedGenerations('api'))], [['web-2', 9]])
    },
  )

  promise(
    'a rollout that is started again goes on, and one of another generation never takes its name',
    async (_, store) => {
      const rollout = { id: 'r', lineage: 'www', generation: 1, token: 7, startedAtMs: 1 }
      await store.startRollout(rollout)
      await store.setServerState('r', 'web-1', 'committed', {}, 2)
      await store.startRollout({ ...rollout, token: 8, startedAtMs: 3 })
      await store.setServerState('r', 'web-2', 'committed', {}, 4)
      assert.deepEqual(
        await store.committedGenerations('www'),
        new Map([
          ['web-1', 1],
          ['web-2', 1],
        ]),
      )
      for (const other of [{ generation: 2 }, { lineage: 'api' }]) {
        assert.equal((await refusalOf(() => store.startRollout({ ...rollout, ...other }))).code, 'INTERNAL')
      }
    },
  )

  promise('of writes that are asked for at once only the bad one fails', async (_, store) => {
    await store.startRollout({ id: 'r', lineage: 'www', generation: 1, token: 1, startedAtMs: 0 })
    const bodies = ['"good"', '"bad"'].map((body) => ({ atMs: 1, body }))
    const failing: typeof link = (previous, body) => {
      if (body.body === '"bad"') throw new Error('no link')
      return link(previous, body)
    }
    const outcomes = await Promise.allSettled([
      store.appendRecord([{ atMs: 1, body: '"first"' }], link),
      store.setServerState('unknown', 'web-1', 'committed', {}, 1),
      store.setServerState('r', 'web-1', 'committed', {}, 1),
      store.appendRecord(bodies, failing),
      store.appendRecord([{ atMs: 1, body: '"second"' }], link),
    ])
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled', 'rejected', 'fulfilled'],
    )
    assert.deepEqual(await store.committedGenerations('www'), new Map([['web-1', 1]]))
    assert.deepEqual(
      (await store.record()).map(({ body }) => body),
      ['"first"', '"second"'],
    )
    assert.deepEqual(verifyChain(await store.record()), { ok: true })
  })

  promise('states that are written at once are all written, in their order', async (_, store) => {
    for (const [generation, id] of ['a', 'b'].entries()) {
      await store.startRollout({ id, lineage: 'www', generation: generation + 1, token: 1, startedAtMs: 0 })
    }
    const servers = Array.from({ length: 50 }, (_, at) => `web-${at}`)
    await Promise.all(
      servers.flatMap((server) => ['a', 'b'].map((id) => store.setServerState(id, server, 'committed', {}, 1))),
    )
    assert.deepEqual(await store.committedGenerations('www'), new Map(servers.map((server) => [server, 2])))
  })

  promise('the newest observation of each server, name, address and port is kept, as it was seen', async (_, store) => {
    assert.deepEqual(await store.observations(), [])
    const unreachable = {
      ...observationOf('web-2', 'www.domain.example', 2),
      vantage: 'forwarded' as const,
      fingerprint: null,
      notAfterMs: null,
      reason: 'PROBE_TIMEOUT',
    }
    await store.recordObservation(observationOf('web-1', 'www.domain.example', 1))
    await Promise.all([
      store.recordObservation(unreachable),
      store.recordObservation(observationOf('web-1', 'shop.domain.example', 2)),
      store.recordObservation(observationOf('web-1', 'shop.domain.example', 4, 8443)),
      store.recordObservation(observationOf('web-1', 'shop.domain.example', 5, 8443, '2001:db8::11')),
      store.recordObservation(observationOf('web-1', 'www.domain.example', 3)),
    ])
    const place = ({ server, name, port, address }: ReturnType<typeof observationOf>) =>
      `${server} ${name} ${port} ${address}`
    const seen = (await store.observations()).toSorted((left, right) => (place(left) < place(right) ? -1 : 1))
    assert.deepEqual(seen, [
      observationOf('web-1', 'shop.domain.example', 2),
      observationOf('web-1', 'shop.domain.example', 4, 8443),
      observationOf('web-1', 'shop.domain.example', 5, 8443, '2001:db8::11'),
      observationOf('web-1', 'www.domain.example', 3),
      unreachable,
    ])
  })

  promise('what was seen earlier does not replace what was seen later, whenever it is told', async (_, store) => {
    const [earlier, later] = [1, 2].map((atMs) => observationOf('web-1', 'www.domain.example', atMs))
    assert.ok(earlier && later)
    await store.recordObservation(later)
    await store.recordObservation(earlier)
    assert.deepEqual(await store.observations(), [later])
    const again = { ...later, reason: 'VERIFY_OLD_CERTIFICATE' }
    await store.recordObservation(again)
    assert.deepEqual(await store.observations(), [again])
  })

  promise('rows of the record are linked to the last one, also within one call', async (_, store) => {
    assert.deepEqual(await store.record(), [])
    const bodies = ['a', 'b', 'c', 'd'].map((name, at) => ({ atMs: at, body: canonicalJson({ name }) }))
    const seen: (number | null)[] = []
    const watching: typeof link = (previous, body) => {
      seen.push(previous?.seq ?? null)
      return link(previous, body)
    }
    const written = [
      ...(await store.appendRecord(bodies.slice(0, 1), watching)),
      ...(await store.appendRecord(bodies.slice(1), watching)),
    ]
    assert.deepEqual(seen, [null, 1, 2, 3])
    assert.deepEqual(await store.record(), written)
    assert.deepEqual(
      written.map(({ body }) => body),
      bodies.map(({ body }) => body),
    )
    assert.deepEqual(verifyChain(written), { ok: true })
  })

  promise('of a record that fails in the middle nothing is written, and the store goes on', async (_, store) => {
    await store.appendRecord([{ atMs: 1, body: '"first"' }], link)
    const failing: typeof link = (previous, body) => {
      if (body.body === '"bad"') throw new Error('no link')
      return link(previous, body)
    }
    const bodies = ['"good"', '"bad"'].map((body) => ({ atMs: 2, body }))
    await assert.rejects(store.appendRecord(bodies, failing), /no link/)
    await store.appendRecord([{ atMs: 3, body: '"second"' }], link)
    assert.deepEqual(
      (await store.record()).map(({ body }) => body),
      ['"first"', '"second"'],
    )
    assert.deepEqual(verifyChain(await store.record()), { ok: true })
  })

  promise('several processes that append to the record at once make one chain', async (place, store) => {
    const told = await race(3, place.address, 'records', 20)
    const rows = await store.record()
    assert.deepEqual(
      rows.map(({ seq }) => seq),
      Array.from({ length: 120 }, (_, at) => at + 1),
    )
    assert.deepEqual(verifyChain(rows), { ok: true })
    // What one call appends stands together.
    for (const line of told.flat()) {
      const [first, second] = line.split(' ').map(Number)
      assert.equal(second, Number(first) + 1)
    }
  })

  promise('a note is kept by kind and name, changed in one go, and goes with null', async (place, store) => {
    assert.equal(await store.note('order', 'www'), null)
    assert.equal(await store.changeNote('order', 'www', (body) => `${body} and one`), 'null and one')
    await store.changeNote('order', 'api', () => 'another name')
    await store.changeNote('account', 'www', () => 'another kind')
    const other = await place.open()
    try {
      await Promise.all(
        [store, other, store, other].map((each) => each.changeNote('order', 'www', (body) => `${body}+`)),
      )
      assert.equal(await other.note('order', 'www'), 'null and one++++')
    } finally {
      await other.close()
    }
    assert.equal(await store.changeNote('order', 'www', () => null), null)
    assert.equal(await store.note('order', 'www'), null)
    assert.deepEqual(
      [await store.note('order', 'api'), await store.note('account', 'www')],
      ['another name', 'another kind'],
    )
  })

  promise('a change of a note that fails leaves it as it was', async (_, store) => {
    await store.changeNote('order', 'www', () => 'before')
    await assert.rejects(
      store.changeNote('order', 'www', () => {
        throw new Error('no')
      }),
    )
    assert.equal(await store.note('order', 'www'), 'before')
  })

  promise(
    'after kill -9 everything that was told as written is there, and nothing is half there',
    async (place, store) => {
      let told: string[] = []
      for (let round = 0; round < 6; round++) {
        const words = workerWords(place.address, 'everything', Number.MAX_SAFE_INTEGER)
        const lines = await killWhileWriting(workerScript, words, 4 + round * 3)
        told = [...told, ...lines.filter((line) => line !== 'ready')]
      }
      const generations = new Set((await store.generations('www')).map(({ number }) => number))
      const records = await store.record()
      const committed = await store.committedGenerations('www')
      assert.deepEqual(
        [...generations],
        Array.from({ length: generations.size }, (_, at) => at + 1),
      )
      assert.deepEqual(verifyChain(records), { ok: true })
      assert.ok(told.length > 30)
      for (const line of told) {
        const [generation = 0, seq = 0] = line.split(' ').map(Number)
        assert.ok(generations.has(generation), `generation ${generation} is gone`)
        assert.equal(committed.get(`s${generation}`), generation)
        assert.ok(records[seq - 1], `record ${seq} is gone`)
      }
      assert.ok(generations.size <= told.length + 6)
    },
  )
}
