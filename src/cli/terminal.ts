import { stripVTControlCharacters, styleText } from 'node:util'
import type { OnecertError } from '../base/errors.ts'

/** Where a command prints: results to stdout, everything about the run to stderr. */
export interface Terminal {
  readonly isTTY: boolean
  readonly columns: number
  out(line: string): void
  err(line: string): void
  style(format: Parameters<typeof styleText>[0], text: string): string
}

export function processTerminal(): Terminal {
  const isTTY = process.stdout.isTTY === true && process.env.TERM !== 'dumb'
  return {
    isTTY,
    // A pseudo-terminal may have none: 0.
    columns: process.stdout.columns || 100,
    out: (line) => void process.stdout.write(`${line}\n`),
    // Styles are those of stdout: 2>log gets none.
    err: (line) => void process.stderr.write(`${process.stderr.isTTY ? line : stripVTControlCharacters(line)}\n`),
    style: (format, text) => (isTTY ? styleText(format, text) : text),
  }
}

/** An error as a person reads it: what failed, the fact, the state, the next command. */
export function renderError(error: OnecertError, terminal: Terminal): string {
  const { what, fact, state, next, at, excerpt, also } = error.failure
  const lines = [`${terminal.style(['red', 'bold'], 'error')} ${error.code}: ${at ? `${at}: ` : ''}${what}`]
  if (excerpt) lines.push(...excerpt.split('\n').map((line) => `  | ${line}`))
  if (fact) lines.push(...fact.split('\n').map((line) => `  ${line}`))
  if (state) lines.push(`  state: ${state}`)
  if (next) lines.push(`  next:  ${next.split('\n').join('\n         ')}`)
  return [...lines, ...(also ?? []).map((each) => renderError(each, terminal))].join('\n')
}
