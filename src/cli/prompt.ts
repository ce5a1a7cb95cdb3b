import { createInterface } from 'node:readline/promises'
import { fail } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'

/** Asks on the terminal, without echo. @throws OnecertError NEEDS_TTY, INTERRUPTED */
export async function askPassphrase(question: string): Promise<Secret<string>> {
  const { stdin, stderr } = process
  if (!stdin.isTTY) {
    fail('NEEDS_TTY', {
      what: 'the vault identity needs its passphrase',
      fact: 'there is no terminal to ask on',
      next: 'onecert --passphrase-file FILE …',
    })
  }
  stderr.write(question)
  stdin.setRawMode(true)
  stdin.setEncoding('utf8')
  let typed = ''
  try {
    for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
      for (const character of String(chunk)) {
        if (character === '\u0003') fail('INTERRUPTED', { what: 'interrupted at the passphrase' })
        if (character === '\r' || character === '\n' || character === '\u0004') return new Secret(typed)
        typed = character === '\u007f' || character === '\b' ? typed.slice(0, -1) : typed + character
      }
    }
    return new Secret(typed)
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    stderr.write('\n')
  }
}

/** @throws OnecertError NEEDS_TTY with the command that needs none */
export function needTerminal(otherwise: string): void {
  if (process.stdin.isTTY) return
  fail('NEEDS_TTY', {
    what: 'this wants to be confirmed',
    fact: 'there is no terminal to ask on',
    state: 'nothing was changed',
    next: otherwise,
  })
}

/** Asks on the terminal; only `y` and `yes` are a yes. @throws OnecertError NEEDS_TTY with the command that needs none */
export async function confirm(question: string, otherwise: string): Promise<boolean> {
  needTerminal(otherwise)
  const { stdin: input, stderr: output } = process
  const terminal = createInterface({ input, output })
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim())
  } finally {
    terminal.close()
  }
}
