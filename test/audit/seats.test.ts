import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeSeats } from '../../src/audit/seats.ts'

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
  judgeSeats({
    certificate: 'www',
    placed: ['eu-1', 'us-1', 'ap-1'],
    recorded: recorded.map((server) => copy(server)),
    seen: new Set(seen),
    seats,
  })
const servers = (...given: Parameters<typeof judged>) => judged(...given).map(({ server }) => server)

test('as many copies as seats, or no limit: nothing', () => {
  assert.deepEqual(servers(2, ['us-1', 'eu-1', 'eu-1']), [])
  assert.deepEqual(servers(undefined, ['eu-1', 'us-1', 'ap-1', 'old-1']), [])
})

test('more copies than seats: those behind in the fleet file have none', () => {
  assert.deepEqual(servers(2, ['ap-1', 'us-1', 'eu-1']), ['ap-1'])
  const [only] = judged(2, ['ap-1', 'us-1', 'eu-1'])
  assert.deepEqual([only?.reason, only?.expected, only?.disk], ['no-seat', '2 servers with a copy', '3 with one'])
})

test('a copy that was seen on a server counts, though no record tells of it', () => {
  assert.deepEqual(servers(2, ['eu-1', 'us-1'], ['us-1', 'ap-1']), ['ap-1'])
})

test('a copy on a server that no site names any more has no seat, though there are free ones', () => {
  assert.deepEqual(servers(10, ['eu-1', 'old-1']), ['old-1'])
  assert.equal(judged(10, ['old-1'])[0]?.repair, 'onecert server remove old-1')
})

test('a copy that nobody knows whether it was written is told as such', () => {
  const [only] = judgeSeats({
    certificate: 'www',
    placed: [],
    recorded: [copy('old-1', false)],
    seen: new Set(),
    seats: 1,
  })
  assert.match(only?.what ?? '', /it may have none/)
})
