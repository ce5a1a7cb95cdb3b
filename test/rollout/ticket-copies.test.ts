import assert from 'node:assert/strict'
import { mkdtempDisposable } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { settleTicketCopies, staleTicketCopies, ticketStates } from '../../src/actions/tickets.ts'
import { ticketCopies } from '../../src/ledger/keycopies.ts'
import { openLedger } from '../../src/ledger/ledger.ts'
import { openStore } from '../../src/store/sqlite.ts'

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

test('a run that died behind its commit left an older set in the record: the next one takes it out, also with nothing to do', async () => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onecert-tickets-'))
  const store = await openStore(directory.path)
  const clock = { nowMs: () => Date.UTC(2026, 10, 25), sleep: async () => {} }
  const context = { store, ledger: openLedger(store, { clock, actor: 'anna@control' }) }
  for (const server of ['eu-1', 'us-1']) {
    for (const ticketSet of [1, 2]) {
      const path = `/etc/onecert/www/tickets-${ticketSet}`
      const copy = {
        effect: 'ticket-copy',
        lineage: 'www',
        server,
        path,
        ticketSet,
        ticketHash: 'a'.repeat(64),
      } as const
      await context.ledger.effect(copy, async () => {})
    }
  }
  const held = { 'eu-1': 2, 'us-1': 1 }
  await ticketStates(store).write('www', { number: 2, id: 'b', spki: 'c', rotatedAtMs: 0, held })
  const sets = async () => {
    await context.ledger.settled()
    const copies = ticketCopies(await context.ledger.entries({ lineage: 'www' }))
    return copies.map(({ server, ticketSet }) => `${server} ${ticketSet}`)
  }
  assert.equal((await sets()).length, 4)
  await settleTicketCopies(context, { name: 'www' })
  assert.deepEqual((await sets()).sort(), ['eu-1 2', 'us-1 1', 'us-1 2'], 'us-1 has not committed the second one')
  await store.close()
})
