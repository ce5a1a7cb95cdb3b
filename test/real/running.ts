import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { processesBelow, processesNaming, sameProcess } from './processes.ts'

/** Real software as a child of the test. */
export interface Running extends AsyncDisposable {
  readonly address: string
  readonly port: number
  /** Of the master; a reload keeps it. */
  readonly pid: number
  /** Holds the configuration and whatever else it writes; gone after stop(). */
  readonly directory: string
  /** What it printed and logged so far; for failure reports. */
  output(): Promise<string>
  /** Ends it with all its children, also one that was started again with the same configuration. */
  stop(): Promise<void>
}

export interface Endpoint {
  /** A loopback address; default: one that no other test uses. */
  readonly address?: string
  /** Default: a free one. */
  readonly port?: number
}

export interface Program {
  readonly argv: readonly [string, ...string[]]
  readonly address: string
  readonly port: number
  readonly directory: string
  readonly pidFile: string
  readonly logFile?: string
}

const startTimeoutMs = 30_000
const stopTimeoutMs = 20_000
const pauseMs = 10
const outputCharactersMax = 64 * 1024

/** Directories that a service's own unprivileged account can pass through, but not list. */
export async function makeDirectory(name: string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), `onecert-${name}-`))
  await chmod(directory, 0o711)
  return directory
}

let addressesUsed = 0

/** Each test process has loopback addresses of its own, so that ports taken elsewhere do not matter. */
export async function chooseEndpoint({ address, port }: Endpoint): Promise<{ address: string; port: number }> {
  addressesUsed += 1
  const own = `127.${10 + ((process.pid >> 8) % 80)}.${process.pid % 256}.${1 + (addressesUsed % 250)}`
  return { address: address ?? own, port: port ?? (await freePort(address ?? own)) }
}

async function freePort(address: string): Promise<number> {
  const listener = createServer().listen(0, address)
  await once(listener, 'listening')
  const bound = listener.address()
  listener.close()
  await once(listener, 'close')
  if (bound === null || typeof bound === 'string') throw new Error(`no port is free on ${address}`)
  return bound.port
}

/**
 * Starts a program in the foreground and waits until it accepts connections.
 * @throws Error with what the program said, when it ends or stays silent; its directory is gone then
 */
export async function startProgram(program: Program): Promise<Running> {
  const { argv, address, port, directory, logFile } = program
  // setpriv: the program ends with the test process, however that ends. detached: its children are a group of their own.
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', '--', ...argv], {
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
  const stop = async () => {
    await end(child, directory)
    await rm(directory, { recursive: true, force: true })
  }
  const problem = await waitUntilReady(child, program)
  if (problem !== null || child.pid === undefined) {
    const said = await output()
    await stop()
    throw new Error(`${argv.join(' ')}: ${problem}\n${said}`)
  }
  return { address, port, pid: child.pid, directory, output, stop, [Symbol.asyncDispose]: stop }
}

/** The pid file as well: Apache listens, closes, and reads its configuration a second time before it writes that. */
async function waitUntilReady(child: ChildProcess, { address, port, pidFile }: Program): Promise<string | null> {
  for (const endMs = performance.now() + startTimeoutMs; performance.now() < endMs; await sleep(pauseMs)) {
    if (hasEnded(child)) return `ended with ${child.exitCode ?? child.signalCode ?? 'an error'}`
    if (existsSync(pidFile) && (await accepts(address, port))) return null
  }
  return `does not listen on ${address}:${port} after ${startTimeoutMs} ms`
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
async function end(child: ChildProcess, directory: string): Promise<void> {
  const masters = [...(child.pid === undefined ? [] : [child.pid]), ...(await processesNaming(directory))]
  const ours = await processesBelow(masters, child.pid)
  for (const each of ours) if (masters.includes(each.pid)) signal(each.pid, 'SIGTERM')
  if (!(await allGone())) {
    for (const each of ours) if (await sameProcess(each)) signal(each.pid, 'SIGKILL')
    if (!(await allGone())) throw new Error(`does not end: ${ours.map(({ pid }) => pid).join(' ')}`)
  }

  async function allGone(): Promise<boolean> {
    for (const endMs = performance.now() + stopTimeoutMs; performance.now() < endMs; await sleep(pauseMs)) {
      const alive = await Promise.all(ours.map(sameProcess))
      if (hasEnded(child) && !alive.includes(true)) return true
    }
    return false
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
