import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Secret } from '../../src/base/secret.ts'
import { decideTickets, type TicketState, ticketHash, ticketSetName } from '../../src/rollout/tickets.ts'

const rotateMs = 1_000
const state: TicketState = { number: 4, id: 'id', spki: 'aa', rotatedAtMs: 5_000, held: { 'eu-1': 4, 'us-1': 4 } }
const servers = ['eu-1', 'us-1']
const decide = (known: TicketState | null, changes: { nowMs?: number; spki?: string; servers?: string[] } = {}) =>
  decideTickets(known, { nowMs: 5_500, rotateMs, spki: 'aa', servers, ...changes })

test('they are made where there are none, and anew where the certificate has another key', () => {
  assert.equal(decide(null).kind, 'make')
  assert.equal(decide(state, { spki: 'bb' }).kind, 'make')
  assert.equal(decide({ ...state, held: {} }, { spki: 'bb' }).kind, 'make', 'a new key waits for no server')
})

test('they are rotated when their time is up, not before', () => {
  assert.deepEqual(decide(state, { nowMs: 5_999 }), { kind: 'keep', dueMs: 6_000, late: [] })
  assert.equal(decide(state, { nowMs: 6_000 }).kind, 'rotate')
})

test('no rotation while a server has not got the key that is to encrypt next', () => {
  const behind = { ...state, held: { 'eu-1': 4, 'us-1': 3 } }
  assert.deepEqual(decide(behind, { nowMs: 9_000 }), { kind: 'keep', dueMs: 6_000, late: ['us-1'] })
  assert.deepEqual(decide({ ...state, held: { 'us-1': 4 } }, { nowMs: 9_000 }), {
    kind: 'keep',
    dueMs: 6_000,
    late: ['eu-1'],
  })
  assert.equal(decide(behind, { nowMs: 9_000, servers: ['eu-1'] }).kind, 'rotate', 'who has left does not hold it up')
})

test('what a server has is told by the bytes that its service reads; printing shows no key', () => {
  const keys = [randomBytes(80), randomBytes(80), randomBytes(80)]
  const text = keys.map((key) => `${key.toString('base64')}\n`).join('')
  const set = { number: 1, lines: new Secret(text) }
  assert.equal(ticketHash(set, 'lines'), createHash('sha256').update(text).digest('hex'))
  assert.equal(ticketHash(set, 'files'), createHash('sha256').update(Buffer.concat(keys)).digest('hex'))
  assert.ok(!`${inspect(set)}${JSON.stringify(set)}`.includes(text.slice(0, 20)))
})

test('a damaged set is not written over: the right one comes under another name', () => {
  const hash = '0123456789abcdef'.repeat(4)
  assert.equal(ticketSetName(hash, null), 'tickets-0123456789abcdef')
  assert.equal(ticketSetName(hash, 'tickets-0123456789abcdef'), 'tickets-0123456789abcdef.2')
  assert.equal(ticketSetName(hash, 'tickets-0123456789abcdef.2'), 'tickets-0123456789abcdef')
})
