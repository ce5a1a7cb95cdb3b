import type { Command } from 'commander'
import { type Audit, audit } from '../../actions/audit.ts'
import type { Severity } from '../../audit/finding.ts'
import { configurationExit, describe, printJson, type Shell, usageExit, withContext } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

export function auditCommand(program: Command, shell: Shell): void {
  const command = program
    .command('audit')
    .argument('[certificate...]', 'only these')
    .option('--server <name...>', 'only these servers')
    .summary('compare what should be with what lies on the servers and what they serve')
    .description(
      'Looks at the files of every server, for copies of private keys, and at every address with a fresh handshake. Nothing is changed.',
    )
  describe(
    command,
    ['onecert audit', 'onecert audit www --server eu-1', 'onecert audit --json'],
    [
      { status: 1, when: 'drift: something is not as it should be' },
      { status: 2, when: 'no drift was seen, but something could not be looked at' },
      usageExit,
      configurationExit,
    ],
  ).action((certificates: string[], options: { server?: string[] }) =>
    withContext(shell, command, async (context, json) => {
      const found = await audit(context, {
        ...(certificates.length > 0 && { certificates }),
        ...(options.server && { servers: options.server }),
      })
      const wrong = found.findings.filter(({ severity }) => severity !== 'notice')
      const drift = wrong.some(({ reason }) => reason !== 'unreachable')
      shell.exit = drift ? 1 : wrong.length > 0 ? 2 : 0
      if (json) printJson(shell.terminal, found)
      else printAudit(found, shell.terminal)
    }),
  )
}

const styles: Record<Severity, 'red' | 'yellow' | 'dim'> = { critical: 'red', warning: 'yellow', notice: 'dim' }

/** For a tired person: what is wrong, what should be, what is, and what to type; the worst first. */
function printAudit({ findings, looked }: Audit, terminal: Terminal): void {
  for (const each of findings) {
    terminal.out(
      [
        terminal.style([styles[each.severity], 'bold'], each.severity.padEnd(8)),
        each.server ?? each.certificate,
        terminal.style('bold', each.reason),
        each.place ?? '',
      ]
        .join('  ')
        .trimEnd(),
    )
    terminal.out(`  ${each.what}`)
    const facts = (['expected', 'disk', 'served'] as const).flatMap((kind) =>
      each[kind] === null ? [] : `${kind === 'disk' ? 'on disk' : kind} ${each[kind]}`,
    )
    if (facts.length > 0) terminal.out(`  ${facts.join(' · ')}`)
    terminal.out(`  next: ${each.repair}`)
    terminal.out('')
  }
  const counts = (['critical', 'warning', 'notice'] as const).flatMap((severity) => {
    const count = findings.filter((each) => each.severity === severity).length
    return count === 0 ? [] : `${count} ${severity}`
  })
  terminal.out(
    `${counts.join(', ') || 'nothing wrong'}: looked at ${counted(looked.endpoints, 'endpoint')}, the files of ${counted(looked.disks, 'server')}` +
      (looked.upstreams > 0 ? `, ${counted(looked.upstreams, 'upstream')}` : ''),
  )
}

function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}
