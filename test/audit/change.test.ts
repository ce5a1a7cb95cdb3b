import assert from 'node:assert/strict'
import { test } from 'node:test'
import { changeOf, type Known } from '../../src/audit/change.ts'
import { finding, type Reason } from '../../src/audit/finding.ts'
import { subject } from '../../src/audit/subject.ts'

const files = (server: string, ...reasons: Reason[]) =>
  subject('files', {
    certificate: 'www',
    server,
    findings: reasons.map((reason) => finding(reason, { certificate: 'www', server, what: 'it is', repair: 'do' })),
  })
const names = (standing: Iterable<{ readonly finding: { readonly reason: string; readonly server: string | null } }>) =>
  [...standing].map(({ finding: { reason, server } }) => `${server} ${reason}`)

test('what appears, stays and goes, and since when', () => {
  const first = changeOf(new Map(), [files('a', 'mixed-pair'), files('b')], 1_000)
  assert.deepEqual([names(first.appeared), names(first.gone)], [['a mixed-pair'], []])
  const second = changeOf(first.known, [files('a', 'mixed-pair'), files('b', 'not-current')], 2_000)
  assert.deepEqual([names(second.appeared), names(second.gone)], [['b not-current'], []])
  assert.deepEqual(
    [...second.known.values()].map(({ sinceMs }) => sinceMs),
    [1_000, 2_000],
  )
  const third = changeOf(second.known, [files('a'), files('b', 'not-current')], 3_000)
  assert.deepEqual([names(third.appeared), names(third.gone)], [[], ['a mixed-pair']])
  assert.equal(third.gone[0]?.sinceMs, 1_000)
  const fourth = changeOf(third.known, [files('a', 'mixed-pair'), files('b')], 4_000)
  assert.equal(fourth.appeared[0]?.sinceMs, 4_000)
})

test('what cannot be looked at any more has not gone; it goes when somebody has seen it', () => {
  const wrong = changeOf(new Map(), [files('a', 'mixed-pair')], 1_000)
  const dark = changeOf(wrong.known, [files('a', 'unreachable')], 2_000)
  assert.deepEqual([names(dark.appeared), names(dark.gone)], [['a unreachable'], []])
  const still = changeOf(dark.known, [files('a', 'mixed-pair')], 3_000)
  assert.deepEqual([names(still.appeared), names(still.gone)], [[], ['a unreachable']])
  assert.equal([...still.known.values()][0]?.sinceMs, 1_000)
  const well = changeOf(dark.known, [files('a')], 3_000)
  assert.deepEqual(names(well.gone).toSorted(), ['a mixed-pair', 'a unreachable'])
})

const served = (reason: Reason) => {
  const at = { certificate: 'www', server: 'a', place: '192.0.2.11:443' }
  return subject('served', { ...at, findings: [finding(reason, { ...at, what: 'it is', repair: 'do' })] })
}
test('what a rollout hides, and what is told less exactly without the disk, has not gone', () => {
  for (const [veil, reason] of [
    ['being-changed', 'not-reloaded'],
    ['old-certificate', 'not-reloaded'],
    ['old-certificate', 'never-copied'],
  ] as const) {
    const stale = changeOf(new Map(), [files('a'), served(reason)], 1_000)
    const veiled = changeOf(stale.known, [files('a', 'unreachable'), served(veil)], 2_000)
    assert.deepEqual(names(veiled.gone), [], veil)
    const again = changeOf(veiled.known, [files('a'), served(reason)], 3_000)
    assert.deepEqual(names(again.appeared), [])
    assert.equal([...again.known.values()][0]?.sinceMs, 1_000)
  }
  const expired = changeOf(new Map(), [served('expired')], 1_000)
  assert.deepEqual(names(changeOf(expired.known, [served('being-changed')], 2_000).gone), ['a expired'])
})

test('a copy of a key on a server whose files nobody could look at has not gone', () => {
  const copies = (...reasons: Reason[]) =>
    subject('copies', {
      certificate: 'www',
      findings: reasons.map((reason) =>
        finding(reason, { certificate: 'www', server: 'a', what: 'it is', repair: 'do' }),
      ),
    })
  const left = changeOf(new Map(), [files('a'), copies('key-left')], 1_000)
  assert.deepEqual(names(changeOf(left.known, [files('a', 'unreachable'), copies()], 2_000).gone), [])
  assert.deepEqual(names(changeOf(left.known, [files('a'), files('b', 'unreachable'), copies()], 2_000).gone), [
    'a key-left',
  ])
})

test('a server that left the fleet file takes its findings along', () => {
  const wrong = changeOf(new Map(), [files('a', 'mixed-pair')], 1_000)
  assert.deepEqual(names(changeOf(wrong.known, [files('b')], 2_000).gone), ['a mixed-pair'])
})

test('it does not grow: after a million changing findings only those that stand are known', () => {
  let known: Known = new Map()
  for (let round = 0; round < 10_000; round++) {
    const findings = Array.from({ length: 100 }, (_, at) =>
      finding('key-elsewhere', { certificate: 'www', server: 'a', place: `/${round}/${at}`, what: 'a', repair: 'b' }),
    )
    known = changeOf(known, [subject('files', { certificate: 'www', server: 'a', findings })], round).known
  }
  assert.equal(known.size, 100)
})
