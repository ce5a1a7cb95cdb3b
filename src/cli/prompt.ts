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
