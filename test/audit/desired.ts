import type { Desired } from '../../src/audit/desired.ts'

export const dayMs = 86_400_000
export const nowMs = Date.parse('2026-11-25T00:00:00Z')

/** Generation 8 is the newest, a month old; 7 has another key. */
export const desired: Desired = {
  certificate: 'www',
  newest: {
    number: 8,
    chain: ['leaf8', 'intermediate'],
    spki: 'key8',
    notBeforeMs: nowMs - 30 * dayMs,
    notAfterMs: nowMs + 60 * dayMs,
    chainHash: 'chain8',
  },
  numbers: new Map([
    ['leaf6', 6],
    ['leaf7', 7],
    ['leaf8', 8],
  ]),
  generations: new Map([
    [7, { notBeforeMs: nowMs - 90 * dayMs, revoked: null }],
    [8, { notBeforeMs: nowMs - 30 * dayMs, revoked: null }],
  ]),
  keys: new Set(['key7', 'key8']),
}
