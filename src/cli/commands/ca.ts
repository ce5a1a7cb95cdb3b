import type { Command } from 'commander'
import { fail } from '../../base/errors.ts'
import { configurationExit, describe, printJson, type Shell, usageExit, withContext } from '../shell.ts'

export function caCommand(program: Command, shell: Shell): void {
  const command = program
    .command('ca')
    .argument('<issuer>', 'a local-ca issuer of the fleet file')
    .summary('print the root certificate of a local CA, for the clients that must trust it')
    .description('Prints the root certificate of a local CA in PEM: clients of internal names have to trust it.')
  describe(
    command,
    ['onecert ca internal > /usr/local/share/ca-certificates/internal.crt'],
    [
      usageExit,
      { status: 77, when: 'the vault identity is open to others, or its passphrase is wrong' },
      configurationExit,
    ],
  ).action((issuer: string) =>
    withContext(shell, command, async (context, json) => {
      if (context.fleet.issuers.get(issuer)?.kind !== 'local-ca') {
        fail('USAGE', { what: `"${issuer}" is no local CA of the fleet file`, next: 'onecert check' })
      }
      const { localCaRoot } = await import('../../issue/local-ca.ts')
      const root = await localCaRoot(issuer, await context.vault())
      if (!root) fail('USAGE', { what: `${issuer} has issued nothing yet`, next: 'onecert apply' })
      if (json) printJson(shell.terminal, { issuer, fingerprint: root.fingerprint, pem: root.pem })
      else shell.terminal.out(root.pem.trimEnd())
    }),
  )
}
