import { type ChildProcess, spawn } from 'node:child_process'
import { readFile, rm, stat } from 'node:fs/promises'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemCode } from '../base/errors.ts'
import { processesAtHome, processesBelow, processesRunning, sameProcess } from './processes.ts'

/** Real software whose configuration is written: the commands (argv, absolute paths) that its operator would use. */
export interface Software {
  readonly configuration: string
  /** Keeps it in the foreground. */
  readonly argv: readonly [string, ...string[]]
  /** Starts it in the background, where it has died. */
  readonly start: readonly string[]
  readonly test: readonly string[]
  readonly reload: readonly string[]
  readonly pidFile: string
  readonly logFile?: string
}

export interface Program extends Pick<Software, 'argv' | 'pidFile' | 'logFile'> {
  /** Default: the account of this process. */
  readonly account?: string
  readonly address: string
  readonly port: number
  /** Holds its configuration and whatever else it writes. */
  readonly directory: string
}

export interface RunningProgram {
  /** Of the master; a reload keeps it. */
  readonly pid: number
  /** What it printed and logged so far; for failure reports. */
  output(): Promise<string>
  /**
   * Ends it with all its children, also one that was started again with the same configuration. Its files stay.
   * `graceMs`: how long they have for it before they are killed.
   */
  stop(graceMs?: number): Promise<void>
}

const startTimeoutMs = 30_000
const stopTimeoutMs = 20_000
const pauseMs = 10
const outputCharactersMax = 64 * 1024

/**
 * Starts a program in the foreground and waits until it accepts connections.
 * @throws Error with what the program said, when it ends or stays silent
 */
export async function startProgram(program: Program): Promise<RunningProgram> {
  const { argv, account, directory, pidFile, logFile } = program
  // What was killed leaves it behind.
  await rm(pidFile, { force: true })
  // setpriv: the program ends with this process, however that ends. detached: its children are a group of their own, and
  // a Ctrl-C in the terminal is not for them.
  const dropped = account === undefined ? [] : ['--reuid', account, '--regid', account, '--init-groups']
  const child = spawn('setpriv', [...dropped, '--pdeathsig', 'TERM', '--', ...argv], {
    cwd: directory,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let printed = ''
  const keep = (text: string) => {
    printed = (printed + text).slice(-outputCharactersMax)
  }
  child.on('error', (error) => keep(`${error.message}\n`))
  child.stdout.setEncoding('utf8').on('data', keep)
  child.stderr.setEncoding('utf8').on('data', keep)

  const output = async () => printed + (logFile === undefined ? '' : await readFile(logFile, 'utf8').catch(() => ''))
  const stop = (graceMs = stopTimeoutMs) => end(child, program, graceMs)
  const problem = await waitUntilReady(child, program)
  if (problem !== null || child.pid === undefined) {
    const said = await output()
    await stop()
    throw new Error(`${argv.join(' ')}: ${problem}\n${said}`)
  }
  return { pid: child.pid, output, stop }
}

/**
 * The pid file as well: Apache listens, closes, and reads its configuration a second time before it writes that. HAProxy
 * listens between the moment in which it is made and the one in which the pid is written into it.
 */
async function waitUntilReady(child: ChildProcess, { address, port, pidFile }: Program): Promise<string | null> {
  for (const endMs = performance.now() + startTimeoutMs; performance.now() < endMs; await sleep(pauseMs)) {
    if (hasEnded(child)) return `ended with ${child.exitCode ?? child.signalCode ?? 'an error'}`
    if ((await isWritten(pidFile)) && (await accepts(address, port))) return null
  }
  return `does not listen on ${address}:${port} after ${startTimeoutMs} ms`
}

async function isWritten(file: string): Promise<boolean> {
  return ((await stat(file).catch(() => null))?.size ?? 0) > 0
}

export function accepts(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, address)
    const answer = (open: boolean) => () => {
      socket.destroy()
      resolve(open)
    }
    socket.once('connect', answer(true)).once('error', answer(false))
  })
}

function hasEnded(child: ChildProcess): boolean {
  return child.pid === undefined || child.exitCode !== null || child.signalCode !== null
}

/** TERM to the masters, then KILL to whatever of theirs is left. */
async function end(child: ChildProcess, { argv, directory }: Program, graceMs: number): Promise<void> {
  const masters = [...(child.pid === undefined ? [] : [child.pid]), ...(await processesRunning(argv[0], directory))]
  const ours = await processesBelow(masters, child.pid)
  for (const each of ours) if (masters.includes(each.pid)) signal(each.pid, 'SIGTERM')
  if (!(await allGone(graceMs))) {
    for (const each of ours) if (await sameProcess(each)) signal(each.pid, 'SIGKILL')
    if (!(await allGone(stopTimeoutMs))) throw new Error(`does not end: ${ours.map(({ pid }) => pid).join(' ')}`)
  }

  async function allGone(withinMs: number): Promise<boolean> {
    for (const endMs = performance.now() + withinMs; performance.now() < endMs; await sleep(pauseMs)) {
      const alive = await Promise.all(ours.map(sameProcess))
      if (hasEnded(child) && !alive.includes(true)) return true
    }
    return false
  }
}

/** Ends what came in by an sshd with that HOME and outlived its connection, until nothing of it is left. */
export async function endAtHome(directory: string): Promise<void> {
  for (const endMs = performance.now() + stopTimeoutMs; performance.now() < endMs; await sleep(pauseMs)) {
    const left = await processesBelow(await processesAtHome(directory), undefined)
    if (left.length === 0) return
    for (const each of left) if (await sameProcess(each)) signal(each.pid, 'SIGKILL')
  }
  throw new Error(`processes below ${directory} do not end`)
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if (systemCode(error) !== 'ESRCH') throw error
  }
}
