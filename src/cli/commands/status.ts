import type { Command } from 'commander'
import { type EndpointStatus, type Status, status, type TicketStatus } from '../../actions/status.ts'
import { endpointOf } from '../../dns/exchange.ts'
import type { KeyCopy } from '../../ledger/keycopies.ts'
import { counted, day } from '../../pki/text.ts'
import { sampleText } from '../../rollout/sample.ts'
import { daysText } from '../numbers.ts'
import { resumptionText } from '../resumption.ts'
import { configurationExit, describe, printJson, type Shell, usageExit, withContext } from '../shell.ts'
import { table } from '../table.ts'
import type { Terminal } from '../terminal.ts'

export function statusCommand(program: Command, shell: Shell): void {
  const command = program
    .command('status')
    .argument('[certificate...]', 'only these; a site stands for its certificates')
    .option('--server <name...>', 'only these servers')
    .summary('show what is served where, now')
    .description('Looks at every server with a fresh handshake and shows it beside what should be there.')
  describe(
    command,
    ['onecert status', 'onecert status --json'],
    [
      {
        status: 1,
        when: 'drift: a server serves something else than it should, or what has expired, or sessions do not resume',
      },
      { status: 2, when: 'no drift was seen, but a server could not be looked at' },
      usageExit,
      configurationExit,
    ],
  ).action((certificates: string[], options: { server?: string[] }) => {
    shell.stopping = 'nothing was changed'
    return withContext(shell, command, async (context, json) => {
      const found = await status(context, {
        ...(certificates.length > 0 && { certificates }),
        ...(options.server && { servers: options.server }),
      })
      const verdicts = [...found.endpoints, ...found.balancers, ...found.resumption].map(({ verdict }) => verdict)
      shell.exit = verdicts.includes('drift') ? 1 : verdicts.includes('unknown') ? 2 : 0
      if (json) printJson(shell.terminal, found)
      else printStatus(found, shell.terminal)
    })
  })
}

function printStatus(found: Status, terminal: Terminal): void {
  for (const each of found.certificates) {
    const name = terminal.style('bold', each.certificate)
    const copies = found.keyCopies.filter(({ lineage }) => lineage === each.certificate)
    if (each.generation === null) {
      terminal.out(`${name}: nothing issued yet (onecert apply)`)
      continue
    }
    const until = day(each.notAfterMs ?? 0)
    const current = copies.filter(({ spki }) => spki === each.spki)
    const older = copies.length - current.length
    terminal.out(
      `${name}: generation ${each.generation} from ${each.issuer}, leaf ${short(each.fingerprint)}, key ${short(each.spki)}`,
    )
    terminal.out(`  valid until ${until}, ${daysText(each.daysLeft ?? 0)}`)
    if (each.renewal) terminal.out(`  ${terminal.style('yellow', 'to be renewed')}: ${each.renewal}`)
    terminal.out(
      `  ${counted(current.length, 'key copy', 'key copies')} on ${counted(serversOf(current), 'server')}` +
        (older > 0 ? `, ${older} of older keys` : '') +
        `, licence seats ${each.licence ? `${each.licence.used} of ${each.licence.seats}` : 'unlimited'}`,
    )
    if (each.tickets) terminal.out(`  ${ticketsText(each.tickets)}`)
    for (const ring of found.resumption)
      if (ring.certificate === each.certificate) terminal.out(`  ${resumptionText(ring, terminal)}`)
  }
  terminal.out('')
  const rows = found.endpoints.map((each) => [
    each.server,
    each.location ?? '',
    each.site || '(no name)',
    endpointOf(each),
    each.generation === null ? '-' : String(each.generation),
    short(each.served),
    verdictText(each.verdict, terminal),
    [vantageText(each), each.reason, quarantineText(each)].filter(Boolean).join(', '),
  ])
  for (const each of found.balancers) {
    rows.push([
      '(balancer)',
      '',
      each.name || '(no name)',
      endpointOf(each),
      '',
      short(each.served),
      verdictText(each.verdict, terminal),
      `sample of ${each.sample.connections}: ${sampleText(each.sample)}`,
    ])
  }
  for (const line of table(
    ['SERVER', 'LOCATION', 'SITE', 'ENDPOINT', 'GEN', 'SERVES', 'VERDICT', ''],
    rows,
    terminal.isTTY ? terminal.columns : null,
  ))
    terminal.out(line)
  const proven = found.endpoints.filter(({ verdict }) => verdict === 'proven').length
  terminal.out('')
  const balanced = found.balancers.filter(({ verdict }) => verdict === 'proven').length
  const waiting = found.endpoints.filter(({ verdict }) => verdict === 'waits').length
  terminal.out(
    `${proven} of ${found.endpoints.length} endpoints proven${waiting > 0 ? `, ${waiting} waiting for a window` : ''}` +
      (found.balancers.length > 0 ? `, ${balanced} of ${found.balancers.length} samples through balancers` : ''),
  )
  const all = [...found.endpoints, ...found.balancers, ...found.resumption]
  const issued = found.certificates.some(({ generation }) => generation !== null)
  if (issued && all.some(({ verdict }) => verdict === 'drift' || verdict === 'unknown'))
    terminal.out('next: onecert audit   (says what is wrong where, and what to do)')
}

function ticketsText({ number, rotatedAtMs, dueMs, late }: TicketStatus): string {
  const waits = late.length > 0 ? `; ${late.join(', ')} ${late.length === 1 ? 'has' : 'have'} not got them` : ''
  return `session ticket keys ${number}, since ${time(rotatedAtMs)}, next at ${time(dueMs)}${waits}`
}

function serversOf(copies: readonly KeyCopy[]): number {
  return new Set(copies.map(({ server }) => server)).size
}

/** `2026-11-23 20:41 UTC`. */
function time(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

function short(hash: string | null): string {
  return hash?.slice(0, 8) ?? '-'
}

/** What was not seen from here, now, says from where and when it was. */
function vantageText({ vantage, atMs }: EndpointStatus): string {
  if (vantage !== 'forwarded' && vantage !== 'on-server') return ''
  return `seen ${vantage === 'forwarded' ? 'through' : 'on'} the server at ${time(atMs ?? 0)}, not from outside`
}

function quarantineText({ quarantine }: EndpointStatus): string {
  return quarantine ? `out of the DNS since ${time(quarantine.atMs)}: ${quarantine.reason}` : ''
}

function verdictText(verdict: EndpointStatus['verdict'], terminal: Terminal): string {
  return terminal.style(verdict === 'proven' ? 'green' : verdict === 'drift' ? 'red' : 'yellow', verdict)
}
