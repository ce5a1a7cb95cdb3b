import type { Command } from 'commander'
import { fail, OnecertError, quote } from '../../base/errors.ts'
import { closest } from '../../base/similar.ts'
import { verifyChain } from '../../ledger/chain.ts'
import { keyCopies, lostCopies, lostTicketCopies, ticketCopies } from '../../ledger/keycopies.ts'
import { instant } from '../../pki/text.ts'
import { wholeNumber } from '../numbers.ts'
import { configurationExit, describe, printJson, type Shell, usageExit, withContext } from '../shell.ts'
import { table } from '../table.ts'

export function ledgerCommand(program: Command, shell: Shell): void {
  const command = program
    .command('ledger')
    .option('--certificate <name>', 'only this lineage')
    .option('--server <name>', 'only this server')
    .option('--last <number>', 'only the newest entries', wholeNumber(1, 1_000_000), 50)
    .summary('show what was done, and where keys went')
    .description('Shows what was done: intent and outcome of every effect, the newest last.')
  describe(
    command,
    ['onecert ledger --last 20', 'onecert ledger keys', 'onecert ledger verify'],
    [usageExit, configurationExit],
  ).action((options: { certificate?: string; server?: string; last: number }) =>
    withContext(shell, command, async ({ ledger, fleet }, json) => {
      const all = await ledger.entries({})
      // What has left the fleet file is in the record still.
      demandKnown('certificate', options.certificate, [
        ...fleet.certificates.keys(),
        ...all.map((each) => each.lineage),
      ])
      demandKnown('server', options.server, [...fleet.servers.keys(), ...all.map((each) => each.server)])
      const entries = all
        .filter(({ lineage }) => options.certificate === undefined || lineage === options.certificate)
        .filter(({ server }) => options.server === undefined || server === options.server)
        .slice(-options.last)
      if (json) return printJson(shell.terminal, { entries })
      const rows = entries.map((entry) => [
        String(entry.seq),
        instant(entry.atMs),
        entry.effect,
        entry.phase === 'intent' ? 'intent' : (entry.result ?? ''),
        entry.lineage ?? '',
        entry.server ?? '',
        [entry.site, entry.address, entry.balancer, entry.path, entry.way, entry.reason, entry.code]
          .filter(Boolean)
          .join(', '),
      ])
      for (const line of table(['SEQ', 'TIME', 'EFFECT', 'PHASE', 'CERTIFICATE', 'SERVER', ''], rows))
        shell.terminal.out(line)
    }),
  )
  verifyCommand(command, shell)
  keysCommand(command, shell)
}

function demandKnown(kind: string, name: string | undefined, known: readonly (string | undefined)[]): void {
  if (name === undefined || known.includes(name)) return
  const near = closest(
    name,
    [...new Set(known)].flatMap((each) => each ?? []),
  )
  fail('USAGE', {
    what: `no ${kind} "${quote(name)}" in the fleet file or in the ledger`,
    ...(near && { fact: `did you mean "${near}"?` }),
  })
}

function verifyCommand(ledgerCommand: Command, shell: Shell): void {
  const command = ledgerCommand
    .command('verify')
    .option('--head <seq:hash>', 'a head that was noted before: shows that nothing after it was cut off')
    .summary('check the hash chain')
    .description('Checks the hash chain: an edit, a deletion, a new order or a cut shows.')
  describe(
    command,
    ['onecert ledger verify', 'onecert ledger verify --head 812:3f0c…'],
    [usageExit, { status: 74, when: 'the chain is broken' }, configurationExit],
  ).action((options: { head?: string }) =>
    withContext(shell, command, async ({ ledger }, json) => {
      const rows = await ledger.rows()
      const verdict = verifyChain(rows, options.head === undefined ? undefined : notedHead(options.head))
      if (!verdict.ok) {
        throw new OnecertError('LEDGER_BROKEN', {
          what: `the ledger's chain is broken at entry ${verdict.seq}`,
          fact: verdict.reason,
          state: 'nothing was changed',
          next: 'compare it with a backup; onecert ledger --json shows all entries',
        })
      }
      const head = rows.at(-1)
      if (json)
        printJson(shell.terminal, {
          ok: true,
          entries: rows.length,
          head: head ? { seq: head.seq, hash: head.hash } : null,
        })
      else
        shell.terminal.out(`${rows.length} entries, chain unbroken, head ${head ? `${head.seq}:${head.hash}` : 'none'}`)
    }),
  )
}

function notedHead(text: string): { readonly seq: number; readonly hash: string } {
  const [, seq, hash] = /^(\d+):([0-9a-f]{64})$/.exec(text) ?? []
  if (seq === undefined || hash === undefined) {
    fail('USAGE', {
      what: `"${quote(text)}" is no head of the ledger`,
      fact: 'a head is a number, a colon and 64 hexadecimal digits',
      next: 'onecert ledger verify prints it',
    })
  }
  return { seq: Number(seq), hash }
}

function keysCommand(ledgerCommand: Command, shell: Shell): void {
  const command = ledgerCommand
    .command('keys')
    .summary('show every key copy')
    .description(
      'Shows every key copy: server, path, SPKI, when and by which way it came there; and every set of session ticket keys.',
    )
  describe(command, ['onecert ledger keys'], [usageExit, configurationExit]).action(() =>
    withContext(shell, command, async ({ ledger }, json) => {
      const entries = await ledger.entries({})
      const [copies, lost] = [keyCopies(entries), lostCopies(entries)]
      const [tickets, lostTickets] = [ticketCopies(entries), lostTicketCopies(entries)]
      if (json) return printJson(shell.terminal, { keyCopies: copies, ticketCopies: tickets, lost, lostTickets })
      const doubt = (certain: boolean) => (certain ? '' : ' (not certain)')
      const gone = ' (lost: nobody saw it go)'
      const all = [
        ...copies.map((copy) => ({ ...copy, key: copy.spki.slice(0, 8), remark: doubt(copy.certain) })),
        ...lost.map((copy) => ({ ...copy, key: copy.spki.slice(0, 8), remark: gone })),
        ...tickets.map((copy) => ({ ...copy, key: `tickets ${copy.ticketSet}`, remark: doubt(copy.certain) })),
        ...lostTickets.map((copy) => ({ ...copy, key: `tickets ${copy.ticketSet}`, remark: gone })),
      ]
      const rows = all.map((copy) => [
        copy.server,
        copy.lineage,
        copy.key,
        instant(copy.sinceMs),
        copy.way ?? '',
        `${copy.path}${copy.remark}`,
      ])
      for (const line of table(['SERVER', 'CERTIFICATE', 'KEY', 'SINCE', 'WAY', 'PATH'], rows)) shell.terminal.out(line)
    }),
  )
}
