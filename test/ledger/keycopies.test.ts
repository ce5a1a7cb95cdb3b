import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { EffectFields, Entry } from '../../src/ledger/entry.ts'
import { keyCopies, lostCopies, lostTicketCopies, ticketCopies } from '../../src/ledger/keycopies.ts'

type Outcome = 'done' | 'failed' | 'unknown'

const spki = 'ab'.repeat(32)
const path = '/etc/onecert/www/gen-0001/privkey.pem'

/** The entries of effects one after the other; `unknown` is one whose controller died. */
function record(...effects: readonly (readonly [Outcome, Partial<EffectFields>])[]): Entry[] {
  return effects.flatMap(([outcome, fields], at): Entry[] => {
    const common = {
      effect: 'key-copy' as const,
      lineage: 'www',
      generation: 1,
      server: 'web-1',
      path,
      spki,
      ...fields,
    }
    const entry = { ...common, id: `id-${at}`, actor: 'anna', seq: 2 * at + 1, atMs: 1_000 * at }
    const intent: Entry = { ...entry, phase: 'intent' }
    if (outcome === 'unknown') return [intent]
    return [intent, { ...entry, seq: entry.seq + 1, atMs: entry.atMs + 1, phase: 'outcome', result: outcome }]
  })
}

const purge = { effect: 'purge' } as const

const places = (entries: readonly Entry[]) =>
  keyCopies(entries).map(({ server, path: at, certain }) => `${server} ${at}${certain ? '' : '?'}`)

test('a copy that was written is listed with where, which key, since when and how it came', () => {
  assert.deepEqual(keyCopies(record(['done', { way: 'ssh curve25519-sha256' }])), [
    {
      server: 'web-1',
      lineage: 'www',
      path,
      spki,
      generation: 1,
      sinceMs: 0,
      way: 'ssh curve25519-sha256',
      certain: true,
    },
  ])
})

const stories: readonly (readonly [string, Entry[], readonly string[]])[] = [
  ['nothing happened', [], []],
  ['a copy failed: it may be there all the same', record(['failed', {}]), [`web-1 ${path}?`]],
  ['the controller died while copying: it may be there', record(['unknown', {}]), [`web-1 ${path}?`]],
  ['a failed copy was tried again and done', record(['failed', {}], ['done', {}]), [`web-1 ${path}`]],
  ['a copy whose end nobody knows was tried again and done', record(['unknown', {}], ['done', {}]), [`web-1 ${path}`]],
  ['a copy that is there was tried again and failed', record(['done', {}], ['failed', {}]), [`web-1 ${path}`]],
  ['a copy that is there was tried again by one that died', record(['done', {}], ['unknown', {}]), [`web-1 ${path}`]],
  ['a copy was purged', record(['done', {}], ['done', purge]), []],
  ['a copy that may be there was purged', record(['failed', {}], ['done', purge]), []],
  ['a purge failed: the copy is still there', record(['done', {}], ['failed', purge]), [`web-1 ${path}`]],
  [
    'a purge that nobody knows the end of: the copy counts',
    record(['done', {}], ['unknown', purge]),
    [`web-1 ${path}`],
  ],
  ['a copy was purged and written again', record(['done', {}], ['done', purge], ['done', {}]), [`web-1 ${path}`]],
  [
    'a copy was purged and its writing failed',
    record(['done', {}], ['done', purge], ['failed', {}]),
    [`web-1 ${path}?`],
  ],
  ['another server was purged', record(['done', {}], ['done', { ...purge, server: 'web-2' }]), [`web-1 ${path}`]],
  ['another path was purged', record(['done', {}], ['done', { ...purge, path: '/other' }]), [`web-1 ${path}`]],
  [
    'copies on two servers and at two paths',
    record(['done', {}], ['done', { server: 'web-2' }], ['failed', { path: '/combined.pem' }]),
    [`web-1 ${path}`, `web-2 ${path}`, 'web-1 /combined.pem?'],
  ],
  [
    'other effects write no key',
    record(['done', { effect: 'stage' }], ['done', { effect: 'swap' }], ['failed', { effect: 'rollback' }]),
    [],
  ],
]

for (const [what, entries, expected] of stories) {
  test(what, () => assert.deepEqual(places(entries), expected))
}

test('a key that took the place of another is the one that is listed', () => {
  const [copy, ...rest] = keyCopies(record(['done', {}], ['done', { spki: 'cd'.repeat(32), generation: 2 }]))
  assert.deepEqual(rest, [])
  assert.deepEqual([copy?.spki, copy?.generation, copy?.sinceMs], ['cd'.repeat(32), 2, 1_000])
})

test('outcomes of effects that ran at once are told apart by their id', () => {
  const [firstIntent, firstOutcome] = record(['done', {}])
  const [secondIntent, secondOutcome] = record(['failed', { server: 'web-2' }])
  assert.ok(firstIntent && firstOutcome && secondIntent && secondOutcome)
  const rename = (entry: Entry): Entry => ({ ...entry, id: 'other' })
  const interleaved = [firstIntent, rename(secondIntent), rename(secondOutcome), firstOutcome]
  assert.deepEqual(places(interleaved), [`web-1 ${path}`, `web-2 ${path}?`])
})

test('session ticket keys are listed by themselves, with their set and hash, until they are purged', () => {
  const set = {
    effect: 'ticket-copy',
    path: '/etc/onecert/www/tickets-1',
    ticketSet: 3,
    ticketHash: 'cd'.repeat(32),
  } as const
  const carried = record(['done', {}], ['done', set])
  assert.deepEqual(places(carried), [`web-1 ${path}`], 'they take no seat of a licence')
  const [copy, ...rest] = ticketCopies(carried)
  assert.deepEqual(rest, [])
  assert.deepEqual(
    [copy?.server, copy?.path, copy?.ticketSet, copy?.ticketHash, copy?.certain],
    ['web-1', set.path, 3, set.ticketHash, true],
  )
  assert.deepEqual(ticketCopies(record(['done', set], ['done', { ...purge, path: set.path }])), [])
  assert.equal(ticketCopies(record(['unknown', set]))[0]?.certain, false)
  const lost = record(['done', set], ['done', { effect: 'lost', path: set.path }])
  assert.deepEqual(ticketCopies(lost), [])
  assert.deepEqual(
    lostTicketCopies(lost).map(({ server, path: at, ticketSet }) => [server, at, ticketSet]),
    [['web-1', set.path, 3]],
  )
})

test('a copy that nobody saw go is lost: it holds no seat, and stays in the record until it is purged or written anew', () => {
  const lost = { effect: 'lost' } as const
  const gone = record(['done', {}], ['done', lost])
  assert.deepEqual(places(gone), [])
  assert.deepEqual(
    lostCopies(gone).map(({ server, path: at, spki: key }) => [server, at, key]),
    [['web-1', path, spki]],
  )
  assert.deepEqual(lostCopies(record(['done', {}], ['failed', lost])), [])
  assert.deepEqual(lostCopies(record(['done', {}], ['done', lost], ['done', purge])), [])
  assert.equal(lostCopies(record(['done', {}], ['done', lost], ['done', {}])).length, 0)
  assert.deepEqual(places(record(['done', {}], ['done', lost], ['done', {}])), [`web-1 ${path}`])
})
