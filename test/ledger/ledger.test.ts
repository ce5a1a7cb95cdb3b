import assert from 'node:assert/strict'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Clock } from '../../src/base/clock.ts'
import { OnecertError } from '../../src/base/errors.ts'
import { Secret } from '../../src/base/secret.ts'
import { verifyChain } from '../../src/ledger/chain.ts'
import type { EffectFields } from '../../src/ledger/entry.ts'
import { type Ledger, openLedger } from '../../src/ledger/ledger.ts'
import { openStore } from '../../src/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import { refusalOf } from '../base/refusals.ts'
import { scratch } from '../base/scratch.ts'

interface Place extends AsyncDisposable {
  readonly store: Store
  readonly ledger: Ledger
  readonly clock: Clock & { now: number }
}

async function openPlace(): Promise<Place> {
  const directory = await scratch()
  const store = await openStore(directory.path)
  const clock = { now: 1_000, nowMs: () => clock.now, sleep: () => Promise.reject(new Error('nobody sleeps here')) }
  return {
    store,
    clock,
    ledger: openLedger(store, { clock, actor: 'anna@control' }),
    async [Symbol.asyncDispose]() {
      await store.close()
      await directory[Symbol.asyncDispose]()
    },
  }
}

const fields: EffectFields = {
  effect: 'key-copy',
  rollout: 'r-1',
  token: 7,
  lineage: 'www',
  generation: 8,
  server: 'web-1',
  path: '/etc/onecert/www/gen-0008/privkey.pem',
  spki: 'ab'.repeat(32),
  fingerprint: 'cd'.repeat(32),
  way: 'ssh curve25519-sha256',
}

test('an effect is recorded before it runs and after, with who, what and when, and gives what it gave', async () => {
  await using place = await openPlace()
  const seenInside = await place.ledger.effect(fields, async () => {
    const entries = await place.ledger.entries({})
    place.clock.now = 5_000
    return entries
  })
  await place.ledger.settled()
  const [intent, outcome, ...rest] = await place.ledger.entries({})
  assert.deepEqual(rest, [])
  assert.deepEqual(seenInside, [intent])
  const id = intent?.id
  assert.match(id ?? '', /^[0-9a-f]{16}$/)
  assert.deepEqual(intent, { ...fields, seq: 1, atMs: 1_000, id, actor: 'anna@control', phase: 'intent' })
  assert.deepEqual(outcome, {
    ...fields,
    seq: 2,
    atMs: 5_000,
    id,
    actor: 'anna@control',
    phase: 'outcome',
    result: 'done',
  })
})

test('what only the outcome can tell stands in the outcome alone', async () => {
  await using place = await openPlace()
  const { way: _, ...unknown } = fields
  await place.ledger.effect(
    unknown,
    async () => 'runtime',
    (way) => ({ way }),
  )
  await place.ledger.settled()
  assert.deepEqual(
    (await place.ledger.entries({})).map(({ phase, way }) => [phase, way]),
    [
      ['intent', undefined],
      ['outcome', 'runtime'],
    ],
  )
})

test('for anybody who looks, the intent is on disk before its effect begins, and the outcome before the next one does', async () => {
  await using directory = await scratch()
  const [writing, reading] = [await openStore(directory.path), await openStore(directory.path)]
  const ledger = openLedger(writing, { clock: { nowMs: () => 1, sleep: async () => {} }, actor: 'a' })
  const onDisk = async () =>
    (await reading.record()).map(({ body }) => /"effect":"(\w+)".*"phase":"(\w+)"/.exec(body)?.slice(1).join(' '))
  await ledger.effect({ effect: 'stage' }, async () => assert.deepEqual(await onDisk(), ['stage intent']))
  await ledger.effect({ effect: 'swap' }, async () => {
    assert.deepEqual(await onDisk(), ['stage intent', 'stage outcome', 'swap intent'])
  })
  await ledger.settled()
  assert.deepEqual(await onDisk(), ['stage intent', 'stage outcome', 'swap intent', 'swap outcome'])
  await writing.close()
  await reading.close()
})

test('an effect does not begin while the outcome of an earlier one cannot be recorded', async () => {
  await using place = await openPlace()
  const full = new OnecertError('STATE_DISK_FULL', { what: 'no room' })
  let writes = 0
  const store: Store = {
    ...place.store,
    appendRecord: (bodies, link) => (++writes === 2 ? Promise.reject(full) : place.store.appendRecord(bodies, link)),
  }
  const ledger = openLedger(store, { clock: place.clock, actor: 'a' })
  await ledger.effect({ effect: 'stage' }, async () => {}).catch(() => {})
  await assert.rejects(ledger.settled(), full)
  let ran = false
  await assert.rejects(
    ledger.effect({ effect: 'swap' }, async () => {
      ran = true
    }),
    full,
  )
  assert.equal(ran, false)
  assert.ok((await place.ledger.entries({})).every(({ result }) => result !== 'failed'))
})

const failures: readonly (readonly [string, unknown, string])[] = [
  ['an error of the catalogue', new OnecertError('RELOAD_FAILED', { what: 'nginx does not reload' }), 'RELOAD_FAILED'],
  ['a defect', new TypeError('x is undefined'), 'INTERNAL'],
  ['what is no error', 'just a text', 'INTERNAL'],
]

for (const [what, thrown, code] of failures) {
  test(`an effect that ends with ${what} is recorded as failed, with its code, and the same is thrown`, async () => {
    await using place = await openPlace()
    const caught = await place.ledger
      .effect(fields, () => Promise.reject(thrown))
      .then(
        () => assert.fail('it resolved'),
        (error: unknown) => error,
      )
    assert.equal(caught, thrown)
    const [intent, outcome, ...rest] = await place.ledger.entries({})
    assert.deepEqual(rest, [])
    assert.deepEqual([intent?.phase, outcome?.phase], ['intent', 'outcome'])
    assert.equal(outcome?.id, intent?.id)
    assert.deepEqual([outcome?.result, outcome?.code], ['failed', code])
    assert.equal(outcome?.path, fields.path)
  })
}

test('what an effect ends with is thrown also where it cannot be recorded, with the reason beside it', async () => {
  await using place = await openPlace()
  const full = new OnecertError('STATE_DISK_FULL', { what: 'no room' })
  const store: Store = {
    ...place.store,
    appendRecord: (bodies, link) =>
      bodies.some(({ body }) => body.includes('"failed"'))
        ? Promise.reject(full)
        : place.store.appendRecord(bodies, link),
  }
  const ledger = openLedger(store, { clock: place.clock, actor: 'a' })
  const other = new OnecertError('SSH_LOST', { what: 'the connection broke' })
  const reload = new OnecertError('RELOAD_FAILED', { what: 'nginx does not reload', fact: 'exit 1', also: [other] })
  const error = await refusalOf(() => ledger.effect(fields, () => Promise.reject(reload)))
  assert.deepEqual([error.code, error.message, error.failure.fact], ['RELOAD_FAILED', reload.message, 'exit 1'])
  assert.deepEqual(error.failure.also, [other, full])
  assert.equal(error.cause, reload)
  const defect = await refusalOf(() => ledger.effect(fields, () => Promise.reject(new TypeError('x is undefined'))))
  assert.deepEqual([defect.code, defect.failure.also], ['INTERNAL', [full]])
})

test('of what was recorded nothing is kept in memory', async () => {
  await using place = await openPlace()
  const kept: WeakRef<object>[] = []
  const store: Store = {
    ...place.store,
    appendRecord: async (bodies) => {
      const rows = bodies.map((body) => ({ ...body, seq: 1, prev: '', hash: '' }))
      kept.push(new WeakRef(rows))
      return rows
    },
  }
  const ledger = openLedger(store, { clock: place.clock, actor: 'a' })
  for (let count = 0; count < 100; count++) await ledger.effect(fields, async () => {})
  await ledger.settled()
  // A WeakRef holds what it names until the turn ends in which it was made.
  await new Promise(setImmediate)
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  assert.ok(kept.filter((each) => each.deref() !== undefined).length < 5)
})

test('an effect that throws before its first wait is recorded as failed too', async () => {
  await using place = await openPlace()
  const thrown = new OnecertError('USAGE', { what: 'at once' })
  const effect = place.ledger.effect(fields, () => {
    throw thrown
  })
  await assert.rejects(effect, thrown)
  assert.deepEqual(
    (await place.ledger.entries({})).map(({ result }) => result),
    [undefined, 'failed'],
  )
})

test('an effect whose intent cannot be recorded never begins', async () => {
  await using place = await openPlace()
  const full = new OnecertError('STATE_DISK_FULL', { what: 'no room' })
  const store: Store = { ...place.store, appendRecord: () => Promise.reject(full) }
  let ran = false
  const effect = openLedger(store, { clock: place.clock, actor: 'a' }).effect(fields, async () => {
    ran = true
  })
  await assert.rejects(effect, full)
  assert.equal(ran, false)
  assert.deepEqual(await place.ledger.rows(), [])
})

test('an effect that never ends leaves its intent', async () => {
  await using place = await openPlace()
  const { promise: began, resolve: begin } = Promise.withResolvers<void>()
  void place.ledger.effect(fields, () => {
    begin()
    return new Promise(() => {})
  })
  await began
  assert.deepEqual(
    (await place.ledger.entries({})).map(({ phase }) => phase),
    ['intent'],
  )
})

test('effects that run at once are each paired by their id, in one chain', async () => {
  await using place = await openPlace()
  await Promise.allSettled(
    Array.from({ length: 40 }, (_, number) =>
      place.ledger.effect({ effect: 'swap', server: `web-${number}` }, async () => {
        await new Promise(setImmediate)
        if (number % 3 === 0) throw new Error('no')
      }),
    ),
  )
  await place.ledger.settled()
  const entries = await place.ledger.entries({})
  assert.equal(entries.length, 80)
  const byId = Map.groupBy(entries, ({ id }) => id)
  assert.equal(byId.size, 40)
  for (const [intent, outcome] of byId.values()) {
    assert.ok(intent?.phase === 'intent' && outcome?.phase === 'outcome' && intent.seq < outcome.seq)
    assert.equal(intent.server, outcome.server)
    const failed = Number(intent.server?.slice('web-'.length)) % 3 === 0
    assert.equal(outcome.result, failed ? 'failed' : 'done')
  }
  assert.deepEqual(verifyChain(await place.ledger.rows()), { ok: true })
})

test('entries can be had of one lineage, of one server, or of both', async () => {
  await using place = await openPlace()
  for (const lineage of ['www', 'api']) {
    for (const server of ['web-1', 'web-2'])
      await place.ledger.effect({ effect: 'commit', lineage, server }, async () => {})
  }
  await place.ledger.effect({ effect: 'enrol', server: 'web-1' }, async () => {})
  await place.ledger.settled()
  const seqs = async (filter: { lineage?: string; server?: string }) =>
    (await place.ledger.entries(filter)).map(({ seq }) => seq)
  assert.deepEqual(await seqs({}), [1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
  assert.deepEqual(await seqs({ lineage: 'api' }), [5, 6, 7, 8])
  assert.deepEqual(await seqs({ server: 'web-1' }), [1, 2, 5, 6, 9, 10])
  assert.deepEqual(await seqs({ lineage: 'www', server: 'web-2' }), [3, 4])
  assert.deepEqual(await seqs({ lineage: 'nothing' }), [])
})

test('no entry holds anything of what an effect gave, or of the text of its failure', async () => {
  await using place = await openPlace()
  const canary = '-----BEGIN PRIVATE KEY-----CANARY'
  await place.ledger.effect(fields, async () => ({ key: canary, secret: new Secret(canary) }))
  for (const thrown of [
    new Error(canary, { cause: new Error(canary) }),
    new OnecertError('PEM_DAMAGED', { what: canary, fact: canary, cause: new Error(canary) }),
    canary,
  ]) {
    await assert.rejects(place.ledger.effect(fields, () => Promise.reject(thrown)))
  }
  const leaky = { ...fields, reason: new Secret(canary) as unknown as string }
  await place.ledger.effect(leaky, async () => {})
  await place.ledger.settled()
  const rows = await place.ledger.rows()
  assert.equal(rows.length, 10)
  assert.doesNotMatch(inspect(rows, { depth: null, maxStringLength: null }), /CANARY|BEGIN/)
})
