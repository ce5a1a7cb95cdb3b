import { once } from 'node:events'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as lab from '../../src/lab/program.ts'

/** Real software as a child of the test. */
export interface Running extends lab.RunningProgram, AsyncDisposable {
  readonly address: string
  readonly port: number
  /** Holds the configuration and whatever else it writes; gone after stop(). */
  readonly directory: string
}

export interface Endpoint {
  /** A loopback address; default: one that no other test uses. */
  readonly address?: string
  /** Default: a free one. */
  readonly port?: number
}

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

const portsGiven = new Set<string>()
const portTriesMax = 100

/** Nothing listens on it, and it was not given before: what is to listen there may not have started yet. */
async function freePort(address: string): Promise<number> {
  for (let tries = 0; tries < portTriesMax; tries++) {
    const listener = createServer().listen(0, address)
    await once(listener, 'listening')
    const bound = listener.address()
    listener.close()
    await once(listener, 'close')
    if (bound === null || typeof bound === 'string') break
    const place = `${address}:${bound.port}`
    if (portsGiven.has(place)) continue
    portsGiven.add(place)
    return bound.port
  }
  throw new Error(`no port is free on ${address}`)
}

/**
 * Starts a program in the foreground and waits until it accepts connections.
 * @throws Error with what the program said, when it ends or stays silent; its directory is gone then
 */
export async function startProgram(program: lab.Program): Promise<Running> {
  const { address, port, directory } = program
  const remove = () => rm(directory, { recursive: true, force: true })
  const running = await lab.startProgram(program).catch(async (error: unknown) => {
    await remove()
    throw error
  })
  const stop = async () => {
    await running.stop()
    await remove()
  }
  return { ...running, address, port, directory, stop, [Symbol.asyncDispose]: stop }
}
