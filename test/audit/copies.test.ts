import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeCopies } from '../../src/audit/copies.ts'

const copy = (server: string, certain = true) => ({
  server,
  lineage: 'www',
  path: '/etc/onecert/www/gen-0001/privkey.pem',
  spki: 'key1',
  generation: 1,
  sinceMs: 0,
  way: 'ssh',
  certain,
})
const judged = (seats: number | undefined, recorded: readonly string[], seen: readonly string[] = []) =>
  judgeCopies({
    certificate: 'www',
    placed: ['eu-1', 'us-1', 'ap-1'],
    recorded: recorded.map((server) => copy(server)),
    seen: new Set(seen),
    strange: [],
    seats,
    sitesOn: (server) => (server === 'db-1' ? ['db.domain.example'] : []),
  })
const servers = (...given: Parameters<typeof judged>) => judged(...given).map(({ server }) => server)

test('as many copies as seats, or no limit: nothing', () => {
  assert.deepEqual(servers(2, ['us-1', 'eu-1', 'eu-1']), [])
  assert.deepEqual(servers(undefined, ['eu-1', 'us-1', 'ap-1']), [])
})

test('more copies than seats: those behind in the fleet file have none', () => {
  assert.deepEqual(servers(2, ['ap-1', 'us-1', 'eu-1']), ['ap-1'])
  const [only] = judged(2, ['ap-1', 'us-1', 'eu-1'])
  assert.deepEqual([only?.reason, only?.expected, only?.disk], ['no-seat', '2 servers with a copy', '3 with one'])
})

test('a copy that was seen on a server counts, though no record tells of it', () => {
  assert.deepEqual(servers(2, ['eu-1', 'us-1'], ['us-1', 'ap-1']), ['ap-1'])
})

test('a copy on a server that no site names any more is told, with a licence and without; it needs a seat too', () => {
  const [only, ...others] = judged(undefined, ['eu-1', 'old-1'])
  assert.deepEqual([only?.reason, only?.server, others.length], ['key-left', 'old-1', 0])
  assert.equal(only?.repair, 'onecert server remove old-1')
  assert.deepEqual(
    judged(2, ['eu-1', 'us-1', 'old-1']).map(({ server, reason }) => `${server} ${reason}`),
    ['us-1 no-seat', 'old-1 key-left'],
  )
})

test('where the server serves other sites, its removal is not what mends it', () => {
  const [only] = judged(undefined, ['eu-1', 'db-1'])
  assert.match(
    only?.repair ?? '',
    /^on db-1: delete \/etc\/onecert\/www\/gen-0001\/privkey\.pem; .* takes it out of db\.domain\.example too$/,
  )
})

test('a file with the key on a server of other certificates is told, unless the record told of it', () => {
  const file = (path: string) => ({ server: 'old-1', path, mode: '600', owner: 'root:root' })
  const found = judgeCopies({
    certificate: 'www',
    placed: ['eu-1'],
    recorded: [copy('old-1')],
    seen: new Set(),
    strange: [file('/root/www.key'), file('/etc/onecert/www/gen-0001/privkey.pem')],
    seats: undefined,
    sitesOn: () => [],
  })
  assert.deepEqual(
    found.map(({ reason, place }) => [reason, place]),
    [
      ['key-left', null],
      ['key-left', '/root/www.key'],
    ],
  )
})

test('a copy that nobody knows whether it was written is told as such', () => {
  const [only] = judgeCopies({
    certificate: 'www',
    placed: [],
    recorded: [copy('old-1', false)],
    seen: new Set(),
    strange: [],
    seats: 1,
    sitesOn: () => [],
  })
  assert.match(only?.what ?? '', /it may have none/)
})
