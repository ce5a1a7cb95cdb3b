import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Desired } from '../../src/audit/desired.ts'
import { judgeRevokedCurrent, judgeRevokedServed } from '../../src/audit/revoked.ts'

const known = (revoked: string | null) => ({ notBeforeMs: 0, revoked })
const desired = (seven: string | null, eight: string | null): Desired => ({
  certificate: 'www',
  newest: { number: 8, chain: ['leaf8'], spki: 'key8', notBeforeMs: 0, notAfterMs: 1, chainHash: 'chain8' },
  numbers: new Map([
    ['leaf7', 7],
    ['leaf8', 8],
  ]),
  generations: new Map([
    [7, known(seven)],
    [8, known(eight)],
  ]),
  keys: new Set(['key7', 'key8']),
})
const served = (given: Desired, leaf: string) =>
  judgeRevokedServed(given, {
    server: 'eu-1',
    endpoint: { address: '192.0.2.11', port: 443, name: 'www.domain.example' },
    served: { chain: [leaf], notAfterMs: 1, subject: '', spki: '', certificates: [] },
    reason: null,
  })
const current = (given: Desired, generation: string | null) =>
  judgeRevokedCurrent(given, 'eu-1', {
    current: generation,
    files: [],
    paths: [],
    above: [],
    groups: null,
    clockMs: 0,
    atMs: 0,
    told: true,
  })

test('served: only what was revoked, with the reason that was given', () => {
  assert.deepEqual(served(desired('superseded', null), 'leaf8'), [])
  assert.deepEqual(served(desired('superseded', null), 'stranger'), [])
  const [only] = served(desired('superseded', null), 'leaf7')
  assert.deepEqual([only?.reason, only?.severity, only?.served], ['revoked', 'critical', 'generation 7 (leaf7)'])
  assert.match(only?.what ?? '', /revoked \(superseded\)/)
  assert.equal(only?.expected, 'generation 8 (leaf8)')
})

test('also where only some of its connections show it, whichever comes first', () => {
  const look = (leaf: string) => ({
    served: { chain: [leaf], notAfterMs: 1, subject: '', spki: '', certificates: [] },
    reason: null,
  })
  const endpoint = { address: '192.0.2.11', port: 443, name: 'www.domain.example' }
  const again = [look('leaf8'), look('leaf7')]
  const found = judgeRevokedServed(desired('keyCompromise', null), {
    server: 'eu-1',
    endpoint,
    ...look('leaf8'),
    again,
  })
  assert.deepEqual(
    found.map(({ reason, served }) => [reason, served]),
    [['revoked', 'generation 7 (leaf7)']],
  )
})

test('held as current, also in a second copy', () => {
  assert.deepEqual(current(desired('keyCompromise', null), 'gen-0008'), [])
  assert.deepEqual(current(desired('keyCompromise', null), null), [])
  assert.equal(current(desired('keyCompromise', null), 'gen-0007.2')[0]?.disk, 'generation 7')
})

test('where the newest one is revoked, nothing that is there is right', () => {
  assert.equal(served(desired(null, 'keyCompromise'), 'leaf8')[0]?.expected, 'a new generation')
})
