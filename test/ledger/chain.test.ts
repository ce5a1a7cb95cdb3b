import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { canonicalJson, link, verifyChain } from '../../src/ledger/chain.ts'
import type { RecordRow } from '../../src/store/store.ts'

function chainOf(length: number): RecordRow[] {
  const rows: RecordRow[] = []
  for (let number = 1; number <= length; number++) {
    const body = canonicalJson({ effect: 'swap', number, server: `web-${number % 3}` })
    rows.push(link(rows.at(-1) ?? null, { atMs: 1_000 * Math.ceil(number / 2), body }))
  }
  return rows
}

const whole = chainOf(12)
const last = whole.at(-1)
assert.ok(last)
const head = { seq: last.seq, hash: last.hash }

test('a chain that was written by link verifies, at every length, also against its head', () => {
  for (let length = 0; length <= whole.length; length++) {
    const rows = whole.slice(0, length)
    const newest = rows.at(-1)
    assert.deepEqual(verifyChain(rows), { ok: true })
    if (newest) assert.deepEqual(verifyChain(rows, newest), { ok: true })
  }
})

test('rows are numbered from 1, the first one follows from zeros, and each from the one before', () => {
  assert.deepEqual(
    whole.map(({ seq }) => seq),
    whole.map((_, at) => at + 1),
  )
  assert.equal(whole[0]?.prev, '0'.repeat(64))
  for (const [at, row] of whole.entries()) {
    assert.match(row.hash, /^[0-9a-f]{64}$/)
    if (at > 0) assert.equal(row.prev, whole[at - 1]?.hash)
  }
  assert.equal(new Set(whole.map(({ hash }) => hash)).size, whole.length)
})

test('the hash covers the place, the time, the body and the hash before', () => {
  const before = { ...last, seq: 4 }
  const { hash } = link(before, { atMs: 1, body: '{}' })
  assert.equal(link(before, { atMs: 1, body: '{}' }).hash, hash)
  assert.notEqual(link({ ...before, seq: 5 }, { atMs: 1, body: '{}' }).hash, hash)
  assert.notEqual(link({ ...before, hash: '1'.repeat(64) }, { atMs: 1, body: '{}' }).hash, hash)
  assert.notEqual(link(before, { atMs: 2, body: '{}' }).hash, hash)
  assert.notEqual(link(before, { atMs: 1, body: '{ }' }).hash, hash)
  // Neither digits that move from one to the other, nor a line break in the body, give the same hash.
  assert.notEqual(link(before, { atMs: 11, body: '{}' }).hash, link(before, { atMs: 1, body: '1\n{}' }).hash)
  assert.notEqual(link(before, { atMs: 11, body: '{}' }).hash, link(before, { atMs: 1, body: '1{}' }).hash)
  const [fifth, fiftyFirst] = [before, { ...before, seq: 50 }]
  assert.notEqual(link(fifth, { atMs: 11, body: '{}' }).hash, link(fiftyFirst, { atMs: 1, body: '{}' }).hash)
})

const place = fc.nat({ max: whole.length - 1 })

const changed = fc
  .record({ at: place, field: fc.constantFrom('seq', 'atMs', 'body', 'prev', 'hash'), by: fc.nat(), text: fc.string() })
  .map(({ at, field, by, text }) => {
    const row = whole[at] ?? last
    const bodyChanged = row.body.slice(0, by % row.body.length) + text + row.body.slice((by % row.body.length) + 1)
    const hex = (value: string) => {
      const digit = by % value.length
      return value.slice(0, digit) + (value[digit] === '0' ? '1' : '0') + value.slice(digit + 1)
    }
    const spoilt: RecordRow = {
      ...row,
      ...(field === 'seq' && { seq: row.seq + 1 + (by % 20) }),
      ...(field === 'atMs' && { atMs: row.atMs + 1 + by }),
      ...(field === 'body' && { body: bodyChanged === row.body ? `${row.body} ` : bodyChanged }),
      ...(field === 'prev' && { prev: hex(row.prev) }),
      ...(field === 'hash' && { hash: hex(row.hash) }),
    }
    return whole.with(at, spoilt)
  })

/** What follows from a forged row may be forged with it: then its own hash is right, and its place is not. */
const rehashed = fc.tuple(fc.nat({ max: whole.length - 2 }), fc.string()).map(([at, text]) => {
  return whole.with(at, link(whole[at - 1] ?? null, { atMs: 5, body: JSON.stringify(`forged ${text}`) }))
})

const deleted = fc
  .uniqueArray(fc.nat({ max: whole.length - 2 }), { minLength: 1, maxLength: 5 })
  .map((places) => whole.filter((_, at) => !places.includes(at)))

const swapped = fc.uniqueArray(place, { minLength: 2, maxLength: 2 }).map(([one = 0, two = 1]) => {
  return whole.with(one, whole[two] ?? last).with(two, whole[one] ?? last)
})

const inserted = fc.record({ at: place, from: place, forged: fc.boolean() }).map(({ at, from, forged }) => {
  const row = forged ? link(whole[at - 1] ?? null, { atMs: 5, body: '"forged"' }) : (whole[from] ?? last)
  return whole.toSpliced(at, 0, row)
})

const doubled = fc.constant([...whole, last])

const beheaded = fc.integer({ min: 1, max: whole.length - 1 }).map((count) => whole.slice(count))

test('10,000 random changes, deletions, swaps, insertions and cuts from the front are each found', () => {
  const spoilt = fc.oneof(changed, rehashed, deleted, swapped, inserted, doubled, beheaded)
  fc.assert(
    fc.property(spoilt, (rows) => {
      for (const verdict of [verifyChain(rows), verifyChain(rows, head)]) {
        assert.ok(!verdict.ok)
        assert.notEqual(verdict.reason, '')
        const sound = rows.findIndex((row, at) => row !== whole[at])
        assert.ok(verdict.seq >= sound + 1, 'a sound row was accused')
      }
    }),
    { numRuns: 10_000 },
  )
})

test('a cut tail is found against a head that was noted elsewhere, and only so', () => {
  for (let length = 0; length < whole.length; length++) {
    const rows = whole.slice(0, length)
    assert.deepEqual(verifyChain(rows), { ok: true })
    const verdict = { ok: false, seq: head.seq, reason: `the chain ends at entry ${length}` }
    assert.deepEqual(verifyChain(rows, head), verdict)
  }
})

test('a chain that was written anew as a whole is found against a head, and only so', () => {
  const forged: RecordRow[] = []
  for (const row of whole) {
    forged.push(link(forged.at(-1) ?? null, { ...row, body: row.body.replace('web-1', 'web-9') }))
  }
  assert.deepEqual(verifyChain(forged), { ok: true })
  assert.deepEqual(verifyChain(forged, head), {
    ok: false,
    seq: head.seq,
    reason: 'it is not the entry that was noted',
  })
})

test('a head that was noted earlier still stands when the chain has grown', () => {
  for (const row of whole) assert.deepEqual(verifyChain(whole, row), { ok: true })
})

const verdicts: readonly (readonly [string, readonly RecordRow[], number, RegExp])[] = [
  ['a deleted row', whole.toSpliced(4, 1), 5, /entry 5 is missing; entry 6 stands in its place/],
  ['a changed text', whole.with(6, { ...(whole[6] ?? last), body: '{}' }), 7, /its text is not what was hashed/],
  [
    'a broken link',
    whole.with(2, { ...(whole[2] ?? last), prev: 'f'.repeat(64) }),
    3,
    /does not follow from the entry before/,
  ],
  ['a first row that is gone', whole.slice(1), 1, /entry 1 is missing; entry 2 stands/],
]

for (const [what, rows, seq, reason] of verdicts) {
  test(`${what} is told with its place`, () => {
    const verdict = verifyChain(rows)
    assert.ok(!verdict.ok)
    assert.equal(verdict.seq, seq)
    assert.match(verdict.reason, reason)
  })
}

test('canonical JSON means what JSON means', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.deepEqual(JSON.parse(canonicalJson(value)), JSON.parse(JSON.stringify(value)))
    }),
    { numRuns: 1_000 },
  )
})

test('the same facts are the same bytes, in whatever order they were put', () => {
  const shuffled = fc.dictionary(fc.string(), fc.jsonValue()).chain((facts) => {
    const entries = Object.entries(facts)
    return fc.tuple(fc.constant(facts), fc.shuffledSubarray(entries, { minLength: entries.length }))
  })
  fc.assert(
    fc.property(shuffled, ([facts, entries]) => {
      assert.equal(canonicalJson(Object.fromEntries(entries)), canonicalJson(facts))
    }),
    { numRuns: 500 },
  )
})

test('different facts are different bytes', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (left, right) => {
      const same = JSON.stringify(JSON.parse(canonicalJson(left))) === JSON.stringify(JSON.parse(canonicalJson(right)))
      assert.equal(canonicalJson(left) === canonicalJson(right), same)
    }),
    { numRuns: 500 },
  )
})

const written: readonly (readonly [unknown, string])[] = [
  [{ b: 1, a: 2 }, '{"a":2,"b":1}'],
  [{ a: undefined, b: null }, '{"b":null}'],
  [{ z: { d: 1, c: [{ b: 1, a: 2 }] } }, '{"z":{"c":[{"a":2,"b":1}],"d":1}}'],
  [{ B: 1, a: 1, A: 1, 10: 1, 9: 1 }, '{"10":1,"9":1,"A":1,"B":1,"a":1}'],
  ['a\n"b"\u2028', '"a\\n\\"b\\"\u2028"'],
  [[], '[]'],
  [{}, '{}'],
  [null, 'null'],
  [[undefined, 1, [() => 1]], '[null,1,[null]]'],
]

for (const [value, text] of written) {
  test(`canonical JSON of ${JSON.stringify(value)}`, () => assert.equal(canonicalJson(value), text))
}
