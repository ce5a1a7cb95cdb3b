import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Finding, finding } from '../../src/audit/finding.ts'
import { auditLines } from '../../src/cli/audit/text.ts'
import { audited, found, serverWith } from './audited.ts'

const look = (columns: number | null) => ({
  isTTY: columns !== null,
  columns: columns ?? 100,
  style: (_: unknown, text: string) => text,
})
const names = (count: number) => Array.from({ length: count }, (_, at) => `web-${at + 1}`)
const lines = (findings: readonly Finding[], columns: number | null = null, servers = 30) => {
  const own = (server: string) => findings.filter((each) => each.server === server)
  const subjects = names(servers).flatMap((server) => serverWith(server, { files: own(server) }))
  const others = findings.filter(({ server }) => server === null)
  return auditLines(audited([...subjects, ...serverWith('web-1', { served: others })]), look(columns))
}

test('nothing found is one line', () => {
  assert.deepEqual(lines([]), ['nothing wrong: looked at 30 endpoints (150 handshakes), the files of 30 servers'])
})

test('one finding: what, the facts, the command, the verdict', () => {
  const only = found('not-reloaded', 'web-2', {
    place: '192.0.2.12:443 (www.domain.example)',
    expected: 'generation 8',
    disk: 'generation 8',
    served: 'generation 7',
  })
  assert.deepEqual(lines([only]), [
    'critical  web-2  not-reloaded  192.0.2.12:443 (www.domain.example)',
    '  not-reloaded it is',
    '  expected generation 8 · on disk generation 8 · served generation 7',
    '  next: onecert apply www',
    '',
    '1 critical: looked at 30 endpoints (150 handshakes), the files of 30 servers',
  ])
})

test('what is the same at many servers is said once, with one command for all', () => {
  const damaged = names(12).map((server) =>
    found('damaged-file', server, {
      place: 'gen-0008',
      what: `the disk of ${server} has something else`,
      repair: `onecert apply www --server ${server}`,
    }),
  )
  const text = lines(damaged)
  assert.equal(text[0], 'critical  12 servers  damaged-file  gen-0008')
  assert.equal(text[1], '  the disk of SERVER has something else')
  assert.equal(text[2], `  ${names(12).join(', ')}`)
  assert.equal(text[3], `  next: onecert apply www --server ${names(12).join(' ')}`)
  assert.equal(text.at(-1), '12 critical: looked at 30 endpoints (150 handshakes), the files of 30 servers')
})

test('what differs in more than its place is not put together', () => {
  const text = lines([
    found('not-reloaded', 'web-1', { served: 'generation 6' }),
    found('not-reloaded', 'web-2', { served: 'generation 7' }),
  ])
  assert.equal(text.filter((line) => line.startsWith('critical')).length, 2)
})

test('paths that differ are listed, and the repair says where they go', () => {
  const copies = ['/a.bak', '/b.bak'].map((place, at) =>
    found('key-elsewhere', `web-${at + 1}`, {
      place,
      what: 'a copy',
      repair: `on web-${at + 1}: delete ${place}`,
    }),
  )
  const text = lines(copies)
  assert.ok(text.includes('  web-1 /a.bak, web-2 /b.bak'), text.join('\n'))
  assert.ok(text.includes('  next: on SERVER: delete PLACE'))
})

test('many findings: the verdict first and last, and the command that mends what can be mended', () => {
  const text = lines([
    found('not-reloaded', 'web-1'),
    found('clock-wrong', 'web-2', { repair: 'set the clock of web-2' }),
    found('unreachable', 'web-3', { repair: 'look at web-3' }),
    found('waits-for-window', 'web-4'),
    finding('address-not-ours', { certificate: 'www', what: 'a stranger', repair: 'take it out' }),
  ])
  const verdict = '2 critical, 1 warning, 1 could not be looked at, 1 notice'
  assert.equal(text[0], `${verdict} on 3 of 30 servers`)
  assert.equal(text.at(-2), `${verdict}: looked at 30 endpoints (150 handshakes), the files of 30 servers`)
  assert.equal(text.at(-1), 'next: onecert audit --fix   (repairs 1 of 5; it shows what, and asks)')
  assert.ok(text.includes('not seen  web-3  unreachable'))
})

test('a server that is looked at no more, and has a copy of a key, counts among the servers', () => {
  const text = lines([found('not-reloaded', 'web-1')], null, 1)
  assert.equal(text.at(-1), '1 critical: looked at 1 endpoint (5 handshakes), the files of 1 server')
  const subjects = serverWith('web-1', { files: [found('not-reloaded', 'web-1'), found('key-left', 'old-1')] })
  assert.equal(auditLines(audited(subjects), look(null))[0], '1 critical, 1 warning on 2 of 2 servers')
})

test('only what could not be seen, and only notices, are no drift', () => {
  assert.match(lines([found('unreachable', 'web-3')]).at(-1) ?? '', /^1 could not be looked at, nothing else wrong: /)
  assert.match(lines([found('being-changed', 'web-3')]).at(-1) ?? '', /^nothing wrong, 1 notice: /)
})

for (const columns of [80, 120]) {
  test(`40 findings at ${columns} columns: nothing but commands and the verdict is wider, and no name is lost`, () => {
    const all = names(30).flatMap((server, at) => [
      found('not-reloaded', server, { expected: 'generation 8 (9c41f0d2)', served: 'generation 7 (5be0a8c1)' }),
      ...(at % 3 === 0 ? [found('clock-wrong', server, { what: 'its clock is behind '.repeat(8) })] : []),
    ])
    const text = lines(all, columns)
    for (const line of text) if (!/^ {2}next: |looked at|^next/.test(line)) assert.ok(line.length <= columns, line)
    for (const server of names(30)) assert.match(text.join('\n'), new RegExp(`\\b${server}\\b`))
  })
}

test('what a server calls its files does nothing to the terminal', () => {
  const place = '/etc/\u001b[2Jkey\u202e'
  assert.doesNotMatch(
    lines([found('key-elsewhere', 'web-1', { place, what: place, disk: place, repair: place })]).join(''),
    /[\u001b\u202e]/,
  )
})
