import type { Command } from 'commander'
import { issueAll } from '../../actions/issue-all.ts'
import { day } from '../../pki/text.ts'
import { configurationExit, describe, printError, printJson, type Shell, usageExit, withContext } from '../shell.ts'

export function issueCommand(program: Command, shell: Shell): void {
  const command = program
    .command('issue')
    .argument('[certificate...]', 'only these')
    .option('--force', 'although the one that is there would do')
    .option('--rekey', 'with a new private key')
    .summary('get certificates that are due into the vault; touch no service')
    .description('Issues what is due, and keeps it. What servers serve is not touched: that is what apply does.')
  describe(
    command,
    ['onecert issue', 'onecert issue www --force'],
    [
      usageExit,
      { status: 65, when: 'what the issuer gave has a defect' },
      { status: 69, when: 'the CA cannot be reached' },
      { status: 75, when: 'not now: the CA, a limit, or a challenge that is not answered yet' },
      { status: 77, when: 'the CA refuses' },
      configurationExit,
    ],
  ).action((certificates: string[], options: { force?: boolean; rekey?: boolean }) =>
    withContext(shell, command, async (context, json) => {
      const { issued, stopped } = await issueAll(context, {
        ...(certificates.length > 0 && { certificates }),
        force: options.force ?? false,
        rekey: options.rekey ?? false,
      })
      if (json)
        printJson(shell.terminal, {
          certificates: issued.map(({ failure, ...each }) => ({
            ...each,
            ...(failure && { failure: failure.toJSON() }),
          })),
        })
      for (const { certificate, generation, reason, notAfterMs, failure } of issued) {
        const until = day(notAfterMs)
        if (!json) {
          shell.terminal.out(
            `${shell.terminal.style('bold', certificate)}: ` +
              (reason === null
                ? `generation ${generation} stands, valid until ${until}`
                : `generation ${generation} issued, because ${reason}; valid until ${until}`),
          )
        }
        if (!failure) continue
        shell.exit = failure.exit
        if (!json) printError(failure, shell.terminal, { json, debug: false })
      }
      if (stopped) throw stopped
    }),
  )
}
