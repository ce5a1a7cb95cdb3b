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
  // Before the question: who answers at once is not to be seen either.
  stdin.setRawMode(true)
  stderr.write(question)
  stdin.setEncoding('utf8')
  let typed = ''
  try {
    for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
      for (const character of String(chunk)) {
        if (character === '\u0003')
          fail('INTERRUPTED', { what: 'interrupted at the passphrase', state: 'the vault was not opened' })
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

/** Twice, as nobody sees what is typed. @throws OnecertError NEEDS_TTY, INTERRUPTED, USAGE */
export async function askNewPassphrase(): Promise<Secret<string>> {
  const first = await askPassphrase('New passphrase of the vault identity: ')
  const second = await askPassphrase('The same once more: ')
  if (first.reveal() === second.reveal()) return first
  return fail('USAGE', {
    what: 'two different passphrases were typed',
    state: 'no vault identity was made',
    next: 'onecert init --passphrase',
  })
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

/** Asks on the terminal; only `y` and `yes` are a yes, Ctrl-C and Ctrl-D are a no. @throws OnecertError NEEDS_TTY with the command that needs none */
export async function confirm(question: string, otherwise: string): Promise<boolean> {
  needTerminal(otherwise)
  const { stdin: input, stderr: output } = process
  const terminal = createInterface({ input, output })
  try {
    return /^y(es)?$/i.test((await terminal.question(`${question} [y/N] `)).trim())
  } catch (error) {
    if ((error as { code?: string }).code !== 'ABORT_ERR') throw error
    output.write('\n')
    return false
  } finally {
    terminal.close()
  }
}
