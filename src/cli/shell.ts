import type { Command } from 'commander'
import type { Context } from '../actions/context.ts'
import { OnecertError, retold } from '../base/errors.ts'
import { openContext } from './open.ts'
import { type Progress, showProgress } from './progress.ts'
import { type GlobalOptions, type Settings, settingsOf } from './settings.ts'
import { renderError, type Terminal } from './terminal.ts'

/** What a command is given: its surroundings, and the exit status that it leaves. */
export interface Shell {
  readonly terminal: Terminal
  readonly signal: AbortSignal
  /** What a Ctrl-C waits for. */
  stopping: string
  exit: number
}

export interface Exit {
  readonly status: number
  readonly when: string
}

/** A command with its help: an example and the exit codes that it can leave. */
export function describe(command: Command, examples: readonly string[], exits: readonly Exit[]): Command {
  const inOrder = [{ status: 0, when: 'done' }, ...exits].toSorted((left, right) => left.status - right.status)
  const lines = [
    '',
    examples.length > 1 ? 'Examples:' : 'Example:',
    ...examples.map((example) => `  $ ${example}`),
    '',
    'Exit codes:',
    ...inOrder.map(({ status, when }) => `  ${String(status).padEnd(3)} ${when}`),
  ]
  return command.addHelpText('after', lines.join('\n'))
}

export const usageExit: Exit = { status: 64, when: 'the command line is wrong' }
export const configurationExit: Exit = { status: 78, when: 'the fleet file is wrong, or the vault was not made yet' }

export function settingsFor(command: Command): { settings: Settings; json: boolean } {
  const options = command.optsWithGlobals<GlobalOptions>()
  const settings = settingsOf(options, { uid: process.getuid?.() ?? -1, environment: process.env })
  return { settings, json: options.json ?? false }
}

/** Opens what the verbs need, shows the progress of rollouts, closes all at the end. */
export async function withContext<T>(
  shell: Shell,
  command: Command,
  run: (context: Context, json: boolean) => Promise<T>,
): Promise<T> {
  const { settings, json } = settingsFor(command)
  const progress: Progress | null = json ? null : showProgress(shell.terminal, () => Date.now())
  await using context = await openContext(settings, {
    signal: shell.signal,
    report: (event) => progress?.report(event),
  })
  try {
    return await run(context, json)
  } finally {
    progress?.stop()
  }
}

/** An interruption with the command that goes on from there; anything else passes as it is. */
export function continuedBy(next: string): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof OnecertError && error.code === 'INTERRUPTED')) throw error
    throw retold(error, { next })
  }
}

export function printJson(terminal: Terminal, value: unknown): void {
  terminal.out(JSON.stringify(value, null, 2))
}

/** Errors go to stderr; with --json as a document. */
export function printError(error: OnecertError, terminal: Terminal, options: { json: boolean; debug: boolean }): void {
  if (options.json) terminal.err(JSON.stringify({ error: error.toJSON() }, null, 2))
  else terminal.err(renderError(error, terminal))
  if (options.debug && error.stack) terminal.err(error.stack)
}
