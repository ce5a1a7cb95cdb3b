import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BalancerSeen, judgeBalancer } from '../../src/audit/balancer.ts'
import { servedWrong } from '../../src/observe/served.ts'
import { desired } from './desired.ts'

function judged(seen: BalancerSeen['seen'], failed = 0, opensAt: string | null = null) {
  const place = '192.0.2.5:443'
  const failure = failed > 0 ? 'it refuses connections' : null
  return judgeBalancer(
    desired,
    { site: 'www.domain.example', place, connections: 15, seen, failed, failure },
    opensAt,
  ).map(({ reason, what }) => `${reason}: ${what}`)
}

const generation = { chain: ['leaf8', 'intermediate'] }
const right = { fingerprint: 'leaf8', connections: 12, wrong: null }
const older = { fingerprint: 'leaf7', connections: 3, wrong: 'serves leaf7, expected leaf8' }
const strange = { fingerprint: 'other', connections: 3, wrong: 'serves other, expected leaf8' }
const headless = { fingerprint: 'leaf8', connections: 3, wrong: servedWrong(['leaf8'], generation) }
const reordered = { ...headless, wrong: servedWrong(['leaf8', 'other', 'intermediate'], generation) }

test('all members serve the newest: nothing', () => {
  assert.deepEqual(judged([right]), [])
})
test('some connections show an older one of ours, or something else, or another chain', () => {
  assert.deepEqual(judged([right, older]), [
    'old-certificate: through the balancer 3 of 15 connections show an older certificate',
  ])
  assert.deepEqual(judged([right, strange]), [
    'other-member: through the balancer 3 of 15 connections show something else',
  ])
  const newest = 'through the balancer 3 of 15 connections show the newest certificate, and what is sent'
  for (const [each, reason] of [
    [headless, 'incomplete-chain'],
    [reordered, 'other-chain'],
  ] as const)
    assert.deepEqual(judged([right, each]), [`${reason}: ${newest} with it is not what was issued`])
})
test('what is served is told by its name alone: the word for it stands before it', () => {
  const [finding] = judgeBalancer(
    desired,
    { site: 'www.domain.example', place: '192.0.2.5:443', connections: 15, seen: [strange], failed: 0, failure: null },
    null,
  )
  assert.equal(finding?.served, 'other, expected leaf8')
})
test('a member that waits for its window may show an older one, and nothing else', () => {
  assert.deepEqual(
    judged([right, older, strange], 0, '2026-11-29T02:00+01:00').map((each) => each.split(':')[0]),
    ['waits-for-window', 'other-member'],
  )
})
test('connections that showed nothing are told beside those that did', () => {
  assert.deepEqual(judged([right], 2), [
    'unreachable: 2 of 15 connections through the balancer showed nothing: it refuses connections',
  ])
})
