import assert from 'node:assert/strict'
import { test } from 'node:test'
import { staleTicketCopies } from '../../src/actions/tickets.ts'

const copy = (server: string, set: string, sinceMs: number, certain = true) => ({
  server,
  lineage: 'www',
  path: `/etc/onecert/www/tickets-${set}`,
  sinceMs,
  way: 'local',
  certain,
  ticketSet: sinceMs,
  ticketHash: set,
})

test('behind a commit a server has the newest set that was seen written, and no other', () => {
  const copies = [
    copy('eu-1', 'old', 1),
    copy('eu-1', 'lost', 2, false),
    copy('eu-1', 'new', 3),
    copy('eu-1', 'never', 4, false),
    copy('us-1', 'other', 2, false),
  ]
  const stale = (...servers: string[]) =>
    staleTicketCopies(copies, new Set(servers)).map(({ ticketHash }) => ticketHash)
  assert.deepEqual(stale('eu-1'), ['old', 'lost', 'never'])
  assert.deepEqual(stale('us-1'), [], 'where none was seen written, nobody knows')
  assert.deepEqual(stale(), [])
})
