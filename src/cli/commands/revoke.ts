import { type Command, Option } from 'commander'
import { type RevocationReason, revocationReasons, revoke } from '../../actions/revoke.ts'
import { wholeNumber } from '../numbers.ts'
import { configurationExit, describe, printJson, type Shell, usageExit, withContext } from '../shell.ts'

interface Options {
  readonly reason: RevocationReason
  readonly generation?: number
}

export function revokeCommand(program: Command, shell: Shell): void {
  const command = program
    .command('revoke')
    .argument('<certificate>', 'which')
    .addOption(new Option('--reason <reason>', 'why').choices(Object.keys(revocationReasons)).default('unspecified'))
    .option('--generation <number>', 'not the newest one', wholeNumber(1, 1_000_000_000))
    .summary('tell the CA that a certificate is not to be trusted any more')
    .description(
      'Revokes a certificate at the CA that issued it. What servers serve is as it was: onecert apply then issues a new one, with a new key where the reason is keyCompromise, and rolls it out.',
    )
  describe(
    command,
    ['onecert revoke www --reason keyCompromise && onecert apply www'],
    [
      usageExit,
      { status: 69, when: 'the CA cannot be reached' },
      { status: 75, when: 'not now: the CA limits requests, or an apply is under way' },
      { status: 77, when: 'the CA refuses' },
      configurationExit,
    ],
  ).action((certificate: string, { reason, generation }: Options) =>
    withContext(shell, command, async (context, json) => {
      const revoked = await revoke(context, certificate, { reason, ...(generation !== undefined && { generation }) })
      if (json) printJson(shell.terminal, { ...revoked, reason })
      else {
        shell.terminal.out(
          `${shell.terminal.style('bold', certificate)}: generation ${revoked.generation} (leaf ${revoked.fingerprint.slice(0, 8)}) is revoked at ${revoked.issuer}`,
        )
        shell.terminal.out(`  what servers serve is as it was; a new one to all of them: onecert apply ${certificate}`)
      }
    }),
  )
}
