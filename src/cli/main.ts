import tab from '@bomb.sh/tab/commander'
import { Command, CommanderError, Option } from 'commander'
import { asOnecertError, OnecertError } from '../base/errors.ts'
import { programVersion } from '../base/version.ts'
import { accountCommand } from './commands/account.ts'
import { applyCommand } from './commands/apply.ts'
import { auditCommand } from './commands/audit.ts'
import { caCommand } from './commands/ca.ts'
import { configCommand } from './commands/config.ts'
import { checkCommand, initCommand, schemaCommand } from './commands/fleet.ts'
import { importCommand } from './commands/import.ts'
import { issueCommand } from './commands/issue.ts'
import { ledgerCommand } from './commands/ledger.ts'
import { planCommand } from './commands/plan.ts'
import { probeCommand } from './commands/probe.ts'
import { renewCommand } from './commands/renew.ts'
import { revokeCommand } from './commands/revoke.ts'
import { serverCommand } from './commands/server.ts'
import { statusCommand } from './commands/status.ts'
import { describe, printError, type Shell, usageExit } from './shell.ts'
import { processTerminal } from './terminal.ts'

const usageStatus = 64

// A key must not be readable in what this process leaves behind, whatever the caller's umask is.
process.umask(0o077)

const interrupted = new AbortController()
const shell: Shell = {
  terminal: processTerminal(),
  signal: interrupted.signal,
  stopping: 'servers that were swapped are brought to their end',
  exit: 0,
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // The second time a person means it: connections end, and each receiver undoes what was not confirmed.
    if (interrupted.signal.aborted) process.exit(75)
    shell.terminal.err(`stopping: ${shell.stopping} (once more to leave at once)`)
    interrupted.abort(new OnecertError('INTERRUPTED', { what: 'interrupted', next: 'onecert apply' }))
  })
}

// A reader that went away (| head) is no failure of ours.
process.stdout.on('error', () => process.exit(shell.exit))

const program = buildProgram()
try {
  await program.parseAsync()
} catch (thrown) {
  shell.exit = leave(thrown)
}
process.exitCode = shell.exit

function buildProgram(): Command {
  const root = new Command('onecert')
    .description('Keeps one TLS certificate right on many servers, and proves it by handshake.')
    .version(programVersion(), '--version', 'print the version')
    .addOption(new Option('--fleet <file>', 'the fleet file').env('ONECERT_FLEET'))
    .addOption(new Option('--state <directory>', 'where state and vault are').env('ONECERT_STATE'))
    .option('--identity <file>', 'the vault identity')
    .option('--passphrase-file <file>', 'holds the passphrase of the vault identity')
    .option('--json', 'results for machines')
    .option('--debug', 'with the stack of a failure')
    .helpOption('-h, --help', 'print the help of a command')
    .showSuggestionAfterError()
    .exitOverride()
    // leave() tells it, in the form of all errors.
    .configureOutput({ outputError: () => {} })
  for (const add of [
    initCommand,
    checkCommand,
    schemaCommand,
    importCommand,
    planCommand,
    applyCommand,
    renewCommand,
    auditCommand,
    statusCommand,
    probeCommand,
    ledgerCommand,
    issueCommand,
    revokeCommand,
    serverCommand,
    configCommand,
    accountCommand,
    caCommand,
  ]) {
    add(root, shell)
  }
  root.addHelpText(
    'after',
    '\nExamples:\n  $ onecert init      # once: a commented fleet file and the vault identity\n  $ onecert plan      # what would happen\n  $ onecert apply     # make it so, and prove it\n  $ onecert status    # what is served where, now\n\nExit codes of each command: onecert COMMAND --help. Completion: onecert complete bash|zsh|fish',
  )
  overrideExits(root)
  tab(root)
  const complete = root.commands.find((command) => command.name() === 'complete')
  if (complete) {
    complete
      .summary('print what a shell needs to complete commands and options')
      .description('Prints what a shell needs to complete commands and options.')
    describe(complete, ['onecert complete bash > /etc/bash_completion.d/onecert'], [usageExit])
  }
  return root
}

/** Commander copies settings to a command when it is made, not to those that come later: each is told by itself. */
function overrideExits(command: Command): void {
  command.exitOverride().showSuggestionAfterError()
  for (const each of command.commands) overrideExits(each)
}

function leave(thrown: unknown): number {
  if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0
  // The help that is printed where a command is missing says it all.
  if (thrown instanceof CommanderError && thrown.code === 'commander.help') return usageStatus
  const error = thrown instanceof CommanderError ? usageError(thrown) : asOnecertError(thrown)
  // A command line that cannot be read has no options yet.
  const [json, debug] = ['--json', '--debug'].map((option) => process.argv.includes(option)) as [boolean, boolean]
  printError(error, shell.terminal, { json, debug })
  return error.exit
}

function usageError({ message }: CommanderError): OnecertError {
  const [what = '', hint] = message.replace(/^error: /, '').split('\n')
  const fact = hint?.replace(/^\((.*)\)$/, '$1')
  return new OnecertError('USAGE', { what, ...(fact && { fact }), next: 'onecert --help, or onecert COMMAND --help' })
}
