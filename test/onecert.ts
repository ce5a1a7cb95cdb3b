import { type ChildProcess, spawn } from 'node:child_process'

/** The real product as a child process, as users run it. */
export interface Ended {
  readonly exit: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Onecert {
  /** Runs to the end. */
  (...words: string[]): Promise<Ended>
  /** Starts, and gives the child to be killed or watched. */
  start(...words: string[]): { readonly child: ChildProcess; readonly ended: Promise<Ended> }
  /** Runs with --json; the exit status does not matter. */
  json<T>(...words: string[]): Promise<T>
}

const launcher = new URL('../bin/onecert', import.meta.url).pathname

export function onecert(fleetFile: string, stateDirectory: string, environment: Record<string, string> = {}): Onecert {
  const start = (...words: string[]) => {
    const child = spawn(process.execPath, [launcher, '--fleet', fleetFile, '--state', stateDirectory, ...words], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment },
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    const ended = new Promise<Ended>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (exit) => resolve({ exit, stdout, stderr }))
    })
    return { child, ended }
  }
  const run = (...words: string[]) => start(...words).ended
  return Object.assign(run, {
    start,
    async json<T>(...words: string[]): Promise<T> {
      const { stdout, stderr } = await run('--json', ...words)
      if (stdout === '') throw new Error(`no JSON from onecert ${words.join(' ')}: ${stderr}`)
      return JSON.parse(stdout) as T
    },
  })
}
