import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Lab } from '../../src/lab/lab.ts'
import { productFor } from '../../src/lab/product.ts'

export const lastLine = 'demo: 7 of 7 servers proven, 7 key copies, 1 drift found and repaired'

/** How a demo ended, and what it left behind. */
export interface Shown {
  readonly exit: number | null
  readonly stdout: string
  readonly stderr: string
  readonly leftFiles: readonly string[]
  readonly leftProcesses: readonly string[]
}

export interface ShowOptions {
  /** Ctrl-C as soon as the output has it: to the demo alone, or to the whole process group as a terminal does. */
  readonly interrupt?: { readonly at: RegExp; readonly group: boolean }
  /** Words before the program, such as `setpriv --reuid=…`. */
  readonly prefix?: readonly string[]
}

const entry = new URL('../../src/lab/demo.ts', import.meta.url).pathname

/** Runs the demo with a directory for temporary files that nobody else has. */
export async function demo(words: readonly string[], { interrupt, prefix = [] }: ShowOptions = {}): Promise<Shown> {
  const directory = await mkdtemp(join(tmpdir(), 'onecert-lab-'))
  const [program = '', ...rest] = [...prefix, process.execPath, entry, ...words]
  const child = spawn(program, rest, {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, TMPDIR: directory },
    detached: true,
  })
  const said = { stdout: '', stderr: '' }
  let told = false
  const keep = (stream: keyof typeof said) => (text: string) => {
    said[stream] += text
    if (!interrupt || told || !interrupt.at.test(said[stream]) || child.pid === undefined) return
    told = true
    process.kill(interrupt.group ? -child.pid : child.pid, 'SIGINT')
  }
  child.stdout.setEncoding('utf8').on('data', keep('stdout'))
  child.stderr.setEncoding('utf8').on('data', keep('stderr'))
  const exit = await new Promise<number | null>((resolve) => child.once('close', resolve))
  const shown = { exit, ...said, leftFiles: await readdir(directory), leftProcesses: await processesOf(directory) }
  await rm(directory, { recursive: true })
  return shown
}

/** Whatever a demo starts has its directory in argv or environment. A short while is theirs to be gone. */
export async function processesOf(directory: string): Promise<string[]> {
  let found: string[] = []
  for (let tries = 0; tries < 50; tries++, await sleep(20)) {
    const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name))
    const texts = await Promise.all(
      pids.map(async (pid) => {
        const files = ['cmdline', 'environ'].map((name) => readFile(`/proc/${pid}/${name}`, 'utf8').catch(() => ''))
        return { pid, text: (await Promise.all(files)).join('\0') }
      }),
    )
    found = texts.filter(({ text }) => text.includes(directory)).map(({ pid, text }) => `${pid} ${text.slice(0, 200)}`)
    if (found.length === 0) return []
  }
  return found
}

/** A lab in a directory of its own; stopped at the end, also of a test that fails. */
export async function inLab(
  start: (directory: string) => Promise<Lab>,
  work: (lab: Lab, product: ReturnType<typeof productFor>) => Promise<void>,
): Promise<{ readonly left: boolean; readonly processes: readonly string[] }> {
  const directory = await mkdtemp(join(tmpdir(), 'onecert-lab-'))
  const lab = await start(directory)
  try {
    await work(lab, productFor(lab))
  } finally {
    await lab.stop()
  }
  return { left: existsSync(directory), processes: await processesOf(directory) }
}
