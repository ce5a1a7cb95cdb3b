import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'

export const shells: Record<string, readonly string[]> = {
  dash: ['dash'],
  bash: ['bash', '--posix'],
  'busybox ash': ['busybox', 'sh'],
}

/** With a receiver, word by word. */
export class Talk {
  readonly child
  readonly #lines: AsyncIterator<string>

  constructor(argv: readonly string[], environment: NodeJS.ProcessEnv = process.env) {
    const [program = '', ...words] = argv
    this.child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'], env: environment })
    this.child.stdin.on('error', () => {})
    this.#lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
  }

  /** The next line that is no output of a command. */
  async answer(): Promise<string> {
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) return 'ended'
      if (!value.startsWith(': ')) return value.trimEnd()
    }
  }

  /** The answer with the lines of output before it. */
  async tell(line: string): Promise<{ output: string[]; answer: string }> {
    this.child.stdin.write(`${line}\n`)
    const output: string[] = []
    for (;;) {
      const { value, done } = await this.#lines.next()
      if (done) return { output, answer: 'ended' }
      if (!value.startsWith(': ')) return { output, answer: value.trimEnd() }
      output.push(value.slice(2))
    }
  }

  ask(line: string, payload?: string): Promise<string> {
    this.child.stdin.write(payload === undefined ? `${line}\n` : `${line}\n${payload}.\n`)
    return this.answer()
  }

  async end(): Promise<void> {
    const gone = this.child.exitCode === null && this.child.signalCode === null ? once(this.child, 'exit') : null
    this.child.stdin.end()
    await gone
  }
}

/** What Alpine has in place of coreutils. */
export async function busyboxTools(root: string): Promise<string> {
  const tools = join(root, 'busybox')
  await mkdir(tools)
  for (const applet of execFileSync('busybox', ['--list'], { encoding: 'utf8' }).trim().split('\n'))
    await symlink('/bin/busybox', join(tools, applet)).catch(() => {})
  return tools
}
