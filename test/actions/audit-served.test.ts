import assert from 'node:assert/strict'
import { test } from 'node:test'
import { auditServed } from '../../src/actions/audit-served.ts'
import type { LookedAgain } from '../../src/actions/look-again.ts'
import { dayMs, desired, nowMs } from '../audit/desired.ts'

const context = { fleet: { servers: new Map(), sites: new Map() }, clock: { nowMs: () => nowMs } }
const hourAgo = { endpoint: () => nowMs - 3_600_000, files: () => null }
const served = {
  chain: ['leaf8', 'intermediate'],
  certificates: [],
  notAfterMs: nowMs + 60 * dayMs,
  subject: '',
  spki: 'key8',
}
const nothing = { served: null, vantage: null, reason: 'it does not answer' }

const unseen = (look: Pick<LookedAgain, 'served' | 'vantage' | 'reason' | 'again'>) => {
  const endpoint = { address: '192.0.2.11', port: 443, name: 'www.domain.example' }
  const all = [{ server: 'eu-1', endpoint, oldProtocol: null, ...look }]
  const found = auditServed(context as unknown as Parameters<typeof auditServed>[0], desired, all, new Map(), hourAgo)
  return found.flatMap(({ findings }) => findings.map(({ reason, what, since }) => ({ reason, what, since })))
}

test('what could not be seen was last seen when it was; where some connections showed it, that is now', () => {
  assert.deepEqual(unseen({ ...nothing, again: [] }), [
    {
      reason: 'unreachable',
      what: 'what it serves could not be seen: it does not answer; last seen 1 h ago',
      since: new Date(nowMs - 3_600_000).toISOString(),
    },
  ])
  const again = [
    { served, reason: null },
    { served: null, reason: 'it does not answer' },
  ]
  assert.deepEqual(unseen({ served, vantage: 'direct', reason: null, again }), [
    { reason: 'unreachable', what: '1 of 3 connections showed nothing: it does not answer', since: null },
  ])
})
