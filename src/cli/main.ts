import tab from '@bomb.sh/tab/commander'
import { Command, CommanderError, Option } from 'commander'
import { asOnecertError, OnecertError } from '../base/errors.ts'
import { programVersion } from '../base/version.ts'
import { describe, printError, type Shell, usageExit } from './shell.ts'
import { processTerminal } from './terminal.ts'

const usageStatus = 64

/** In the order of the help. */
const commands: Readonly<Record<string, () => Promise<(program: Command, shell: Shell) => void>>> = {
  init: async () => (await import('./commands/fleet.ts')).initCommand,
  check: async () => (await import('./commands/fleet.ts')).checkCommand,
  schema: async () => (await import('./commands/fleet.ts')).schemaCommand,
  import: async () => (await import('./commands/import.ts')).importCommand,
  plan: async () => (await import('./commands/plan.ts')).planCommand,
  apply: async () => (await import('./commands/apply.ts')).applyCommand,
  renew: async () => (await import('./commands/renew.ts')).renewCommand,
  audit: async () => (await import('./commands/audit.ts')).auditCommand,
  status: async () => (await import('./commands/status.ts')).statusCommand,
  probe: async () => (await import('./commands/probe.ts')).probeCommand,
  ledger: async () => (await import('./commands/ledger.ts')).ledgerCommand,
  issue: async () => (await import('./commands/issue.ts')).issueCommand,
  revoke: async () => (await import('./commands/revoke.ts')).revokeCommand,
  server: async () => (await import('./commands/server.ts')).serverCommand,
  config: async () => (await import('./commands/config.ts')).configCommand,
  account: async () => (await import('./commands/account.ts')).accountCommand,
  ca: async () => (await import('./commands/ca.ts')).caCommand,
}

// A key must not be readable in what this process leaves behind, whatever the caller's umask is.
process.umask(0o077)

const interrupted = new AbortController()
const shell: Shell = {
  terminal: processTerminal(),
  signal: interrupted.signal,
  stopping: 'what was begun is brought to its end',
  exit: 0,
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    // The second time a person means it: connections end, and each receiver undoes what was not confirmed.
    if (interrupted.signal.aborted) process.exit(75)
    shell.terminal.err(`stopping: ${shell.stopping} (once more to leave at once)`)
    interrupted.abort(
      new OnecertError('INTERRUPTED', { what: 'interrupted', next: commandLine(process.argv.slice(2)) }),
    )
  })
}

process.stdout.on('error', (cause: { code?: string }) => {
  // A reader that went away (| head) is no failure of ours.
  if (cause.code === 'ENOSPC' || cause.code === 'EDQUOT')
    shell.exit = leave(
      new OnecertError('STATE_DISK_FULL', {
        what: 'the output cannot be written: the disk is full',
        state: 'what was written of it is not whole',
        next: 'make room, then run the command again',
        cause,
      }),
    )
  process.exit(shell.exit)
})
// Where the terminal has gone (a login that was cut), servers may be in the middle of a change: that comes to its end unseen.
process.stderr.on('error', () => {})

const program = await buildProgram(process.argv.slice(2))
try {
  await program.parseAsync()
} catch (thrown) {
  shell.exit = leave(thrown)
}
process.exitCode = shell.exit

async function buildProgram(words: readonly string[]): Promise<Command> {
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
  for (const load of neededFor(words)) {
    const add = await load()
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

/** A command alone starts in three quarters of the time; the help, and what completes, need all. */
function neededFor(words: readonly string[]) {
  const named = Object.keys(commands).filter((name) => words.includes(name))
  const all = named.length === 0 || words.includes('help') || words.includes('complete')
  return all ? Object.values(commands) : named.flatMap((name) => commands[name] ?? [])
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
  const given = (option: string) => process.argv.includes(option)
  printError(error, shell.terminal, { json: given('--json'), debug: given('--debug') })
  return error.exit
}

function usageError({ message }: CommanderError): OnecertError {
  const [text = '', hint] = message.replace(/^error: /, '').split('\n')
  // What commander says in two sentences is a failure and its fact.
  const [, what = text, reason] = /^(.* is invalid|too many arguments for '[^']*')\. (.*?)\.?$/.exec(text) ?? []
  const { command, path } = commandNamed(process.argv.slice(2))
  const [, option] = /^unknown option '(--[^'=]+)/.exec(what) ?? []
  const misplaced = option !== undefined && command.options.some(({ long }) => long === option)
  const fact = misplaced
    ? `it stands behind the command: ${path} ${option}`
    : (reason ?? hint?.replace(/^\((.*)\)$/, '$1'))
  return new OnecertError('USAGE', { what, ...(fact && { fact }), next: `${path} --help` })
}

/** The command that words name, as far as they name one: `onecert server scan`. */
function commandNamed(words: readonly string[]): { readonly command: Command; readonly path: string } {
  let command = program
  let path = 'onecert'
  for (const word of words) {
    const below = command.commands.find((each) => each.name() === word)
    if (!below) continue
    command = below
    path += ` ${word}`
  }
  return { command, path }
}

/** As it was typed, so that it can be typed again. */
function commandLine(words: readonly string[]): string {
  const quoted = words.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`))
  return ['onecert', ...quoted].join(' ')
}
