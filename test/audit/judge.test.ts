import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Desired } from '../../src/audit/desired.ts'
import { judgeDisk } from '../../src/audit/disk.ts'
import { finding, inOrder, whileChanging } from '../../src/audit/finding.ts'
import { judgeKeys } from '../../src/audit/keys.ts'
import { type EndpointSeen, judgeServed } from '../../src/audit/served.ts'
import { onStandby } from '../../src/audit/standby.ts'
import type { DiskFacts, FileFacts } from '../../src/observe/disk.ts'
import { dayMs, desired, nowMs } from './desired.ts'

const served = (chain: readonly string[], notAfterMs = nowMs + 60 * dayMs): EndpointSeen => ({
  server: 'eu-1',
  endpoint: { address: '192.0.2.11', port: 443, name: 'www.domain.example' },
  served: { chain, notAfterMs, subject: 'www.domain.example', spki: 'key8', certificates: [] },
  reason: null,
})

const file = (facts: Partial<FileFacts> = {}): FileFacts => ({
  mode: '600',
  owner: 'root:root',
  hash: 'empty',
  spki: null,
  acl: null,
  ...facts,
})

function disk(
  changes: { number?: number; chain?: Partial<FileFacts>; key?: Partial<FileFacts> } & Partial<DiskFacts> = {},
  waits = false,
) {
  const { number = 8, chain = {}, key = {}, ...rest } = changes
  const current = `gen-000${number}`
  return judgeDisk(
    desired,
    'eu-1',
    {
      current,
      files: [
        { generation: current, file: 'fullchain.pem', ...file({ mode: '644', hash: `chain${number}`, ...chain }) },
        { generation: current, file: 'privkey.pem', ...file({ spki: `key${number}`, ...key }) },
      ],
      paths: [],
      above: [],
      groups: null,
      clockMs: nowMs + 1_000,
      atMs: nowMs,
      told: true,
      ...rest,
    },
    waits,
  )
}

const reasonsOf = (findings: readonly { readonly reason: string }[]) => findings.map(({ reason }) => reason)
const seen = (...given: Parameters<typeof served>) => ({
  on: (lies: ReturnType<typeof disk> | null) => reasonsOf(judgeServed(desired, served(...given), lies, nowMs)),
})

describe('what is served', () => {
  test('the newest generation, whole: nothing', () => {
    assert.deepEqual(seen(['leaf8', 'intermediate']).on(disk()), [])
  })
  test('an older one: the disk tells which step is missing', () => {
    assert.deepEqual(seen(['leaf7', 'intermediate']).on(disk({ number: 7 })), ['never-copied'])
    assert.deepEqual(seen(['leaf7', 'intermediate']).on(disk()), ['not-reloaded'])
    assert.deepEqual(seen(['leaf7', 'intermediate']).on(null), ['old-certificate'])
  })
  test('an older one that has expired: both are told', () => {
    assert.deepEqual(seen(['leaf7', 'intermediate'], nowMs - 1).on(disk()), ['expired', 'not-reloaded'])
  })
  test('one of somebody else', () => {
    assert.deepEqual(seen(['stranger']).on(disk()), ['other-certificate'])
  })
  test('the leaf alone', () => {
    assert.deepEqual(seen(['leaf8']).on(disk()), ['incomplete-chain'])
  })
  test('the newest, with less than a fifth of its lifetime left', () => {
    const late = (leftDays: number) => {
      const newest = {
        ...desired.newest,
        notAfterMs: nowMs + leftDays * dayMs,
        notBeforeMs: nowMs - (90 - leftDays) * dayMs,
      }
      const judged = { ...desired, newest: newest as NonNullable<Desired['newest']> }
      return reasonsOf(judgeServed(judged, served(['leaf8', 'intermediate'], newest.notAfterMs), null, nowMs))
    }
    assert.deepEqual(late(17), ['expiring'])
    assert.deepEqual(late(19), [])
    assert.deepEqual(late(-1), ['expired'])
  })
  test('nothing that could be seen', () => {
    const look = { ...served([]), served: null, reason: 'it does not answer' }
    const [only] = judgeServed(desired, look, disk(), nowMs)
    assert.equal(only?.reason, 'unreachable')
    assert.match(only?.what ?? '', /it does not answer/)
  })
})

describe('what lies on disk', () => {
  test('the newest generation: nothing', () => {
    const judged = disk()
    assert.deepEqual([judged.findings, judged.isNewest, judged.current], [[], true, 'generation 8'])
  })
  for (const [what, change, expected] of [
    ['an older one', { number: 7 }, ['not-current']],
    ['nothing', { current: null, files: [] }, ['not-current']],
    ['other certificates', { chain: { hash: 'other' } }, ['damaged-file']],
    ['a key that openssl cannot read', { key: { spki: null } }, ['damaged-file']],
    ['a key of another pair', { key: { spki: 'stranger' } }, ['mixed-pair']],
    [
      'an older one that we cannot read ourselves',
      { number: 7, chain: { hash: null }, key: { hash: null } },
      ['not-current'],
    ],
    [
      'the newest, its certificates alone',
      { files: [{ generation: 'gen-0008', file: 'fullchain.pem', ...file({ hash: 'chain8' }) }] },
      ['damaged-file'],
    ],
    [
      'the newest, in one file',
      { files: [{ generation: 'gen-0008', file: 'combined.pem', ...file({ hash: 'chain8', spki: 'key8' }) }] },
      [],
    ],
    ['a key that we cannot read ourselves', { key: { hash: null } }, []],
    ['a key, and no openssl there to tell whose', { key: { spki: null }, told: false }, []],
    ['a clock that is six minutes behind', { clockMs: nowMs - 6 * 60_000 }, ['clock-wrong']],
    ['a clock by which it has expired', { clockMs: nowMs + 61 * dayMs }, ['clock-wrong', 'expired']],
    [
      'a clock by which what is current has not begun',
      { clockMs: nowMs - 31 * dayMs },
      ['clock-wrong', 'not-yet-valid'],
    ],
    [
      'a clock that is far behind, and an older one that has begun',
      { number: 7, clockMs: nowMs - 31 * dayMs },
      ['not-current', 'clock-wrong'],
    ],
    [
      'a clock that was right when it was read, an hour ago',
      { clockMs: nowMs - 3_600_000, atMs: nowMs - 3_600_000 },
      [],
    ],
    ['a clock that is four minutes ahead', { clockMs: nowMs + 4 * 60_000 }, []],
    [
      'a plain file at an explicit path',
      { paths: [{ path: '/etc/www.crt', kind: 'file', ...file() }] },
      ['path-not-ours'],
    ],
    [
      'nothing at an explicit path',
      { paths: [{ path: '/etc/www.crt', kind: 'missing', ...file({ hash: null }) }] },
      ['path-not-ours'],
    ],
    ['our link at an explicit path', { paths: [{ path: '/etc/www.crt', kind: 'ours', ...file() }] }, []],
  ] as const) {
    test(what, () => assert.deepEqual(reasonsOf(disk(change as Parameters<typeof disk>[0]).findings), expected))
  }
})

describe('copies of private keys', () => {
  const keys = (path: string, spki: string | null) => ({
    whole: true,
    told: true,
    keys: [{ path, mode: '600', owner: 'root:root', spki }],
  })
  const own = ['/etc/onecert/www', '/etc/nginx/www.key']
  const judged = (path: string, spki: string | null, behind: string | null = null) =>
    reasonsOf(judgeKeys(desired, { server: 'eu-1', facts: keys(path, spki), own: behind === null ? own : [], behind }))
  test('where they belong: nothing', () => {
    assert.deepEqual(judged('/etc/onecert/www/gen-0007/privkey.pem', 'key7'), [])
    assert.deepEqual(judged('/etc/nginx/www.key', 'key8'), [])
  })
  test('beside it, also of an older generation', () => {
    assert.deepEqual(judged('/etc/onecert/www.bak/privkey.pem', 'key7'), ['key-elsewhere'])
    assert.deepEqual(judged('/etc/nginx/www.key.bak', 'key8'), ['key-elsewhere'])
  })
  test('keys of others, and such as cannot be told, are not ours to judge', () => {
    assert.deepEqual(judged('/etc/ssh/ssh_host_ecdsa_key', null), [])
    assert.deepEqual(judged('/etc/ssl/other.key', 'stranger'), [])
  })
  test('where the search was cut short, nobody has seen the rest', () => {
    const facts = { whole: false, told: true, keys: [] }
    const [only] = judgeKeys(desired, { server: 'eu-1', facts, own, behind: null })
    assert.equal(only?.reason, 'unreachable')
  })
  test('on an upstream there is no place where one belongs', () => {
    assert.deepEqual(judged('/etc/onecert/www/gen-0007/privkey.pem', 'key7', 'app.domain.example'), ['key-on-upstream'])
  })
})

test('the worst comes first, then what belongs together', () => {
  const of = (reason: Parameters<typeof finding>[0], server: string) =>
    finding(reason, { certificate: 'www', server, what: '', repair: '' })
  const ordered = inOrder([of('unreachable', 'a'), of('expired', 'b'), of('key-elsewhere', 'b'), of('expired', 'a')])
  assert.deepEqual(
    ordered.map(({ reason, server }) => `${server} ${reason}`),
    ['a expired', 'b expired', 'a unreachable', 'b key-elsewhere'],
  )
})

test('what waits for its window is no drift, unless it has expired, is a stranger or is not reloaded', () => {
  const waiting = disk({ number: 7 }, true)
  assert.deepEqual(waiting.findings, [])
  const found = (lies: ReturnType<typeof disk>, ...given: Parameters<typeof served>) =>
    reasonsOf(judgeServed(desired, served(...given), lies, nowMs, '2026-11-29T02:00+01:00'))
  assert.deepEqual(found(waiting, ['leaf7', 'intermediate']), ['waits-for-window'])
  assert.deepEqual(found(waiting, ['leaf7', 'intermediate'], nowMs - 1), ['expired', 'never-copied'])
  assert.deepEqual(found(waiting, ['stranger']), ['other-certificate'])
  assert.deepEqual(found(disk(), ['leaf7', 'intermediate']), ['not-reloaded'])
})

test('a standby that is stale has a reason of its own, and the sentence says which step is missing', () => {
  const on = (lies: ReturnType<typeof disk> | null, ...given: Parameters<typeof served>) =>
    judgeServed(desired, served(...given), lies, nowMs).map(onStandby)
  const [copied] = on(disk(), ['leaf7', 'intermediate'])
  assert.equal(copied?.reason, 'standby-stale')
  assert.match(copied?.what ?? '', /^is a standby, and has the new certificate on disk and serves an older one/)
  assert.deepEqual(reasonsOf(on(disk({ number: 7 }), ['leaf7', 'intermediate'])), ['standby-stale'])
  assert.deepEqual(reasonsOf(on(disk(), ['stranger'])), ['other-certificate'])
  assert.deepEqual(on(disk(), ['leaf8', 'intermediate']), [])
})

test('while somebody is at work, only what a rollout itself makes is no drift', () => {
  const of = (reason: Parameters<typeof finding>[0]) =>
    whileChanging(finding(reason, { certificate: 'www', what: '', repair: '' })).reason
  for (const reason of ['never-copied', 'standby-stale', 'path-not-ours', 'resumption-broken'] as const)
    assert.equal(of(reason), 'being-changed')
  for (const reason of ['expired', 'mixed-pair', 'key-readable', 'other-certificate', 'other-member'] as const)
    assert.equal(of(reason), reason)
})
