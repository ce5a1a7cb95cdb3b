import { spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Status } from '../actions/status.ts'
import type { Lab } from './lab.ts'

/** How a command of the product ended. */
export interface Run {
  readonly exit: number
  readonly stdout: string
}

/** The real product, as a user runs it; its progress goes to our stderr. */
export type Product = (words: readonly string[], options?: { readonly show?: boolean }) => Promise<Run>

const launcher = new URL('../../bin/onecert', import.meta.url).pathname

/** `interrupted`: a command that runs then is told once, and brings what it began to its end. */
export function productFor({ directory, fleetFile, stateDirectory }: Lab, interrupted?: AbortSignal): Product {
  return (words, { show = false } = {}) =>
    new Promise((resolve, reject) => {
      // detached: a Ctrl-C in the terminal would reach it a second time, by which it leaves at once.
      const child = spawn(process.execPath, [launcher, '--fleet', fleetFile, '--state', stateDirectory, ...words], {
        stdio: ['ignore', show ? 'inherit' : 'pipe', 'inherit'],
        env: { ...process.env, XDG_CACHE_HOME: join(directory, 'cache') },
        detached: true,
      })
      const tell = () => child.kill('SIGINT')
      interrupted?.addEventListener('abort', tell, { once: true })
      let stdout = ''
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        stdout += text
      })
      child.on('error', reject)
      child.on('close', (code) => {
        interrupted?.removeEventListener('abort', tell)
        resolve({ exit: code ?? 1, stdout })
      })
    })
}

/** What `onecert status --json` counts. */
export interface Counted {
  readonly servers: number
  readonly proven: number
  readonly keyCopies: number
  /** Servers that serve something else than they should. */
  readonly drifted: readonly string[]
}

export async function count(product: Product): Promise<Counted> {
  const { exit, stdout } = await product(['status', '--json'])
  if (stdout === '') throw new Error(`onecert status ended with ${exit} and said nothing`)
  const { endpoints, keyCopies } = JSON.parse(stdout) as Status
  const servers = new Set(endpoints.map(({ server }) => server))
  const wrong = new Set(endpoints.flatMap(({ server, verdict }) => (verdict === 'proven' ? [] : [server])))
  const drifted = new Set(endpoints.flatMap(({ server, verdict }) => (verdict === 'drift' ? [server] : [])))
  return {
    servers: servers.size,
    proven: servers.size - wrong.size,
    keyCopies: keyCopies.length,
    drifted: [...drifted],
  }
}

/** Servers that were found to have drifted and have not any more. */
export function mended(broken: Counted, repaired: Counted): number {
  return broken.drifted.filter((server) => !repaired.drifted.includes(server)).length
}

/** The last line of the demo. */
export function summary({ proven, servers, keyCopies }: Counted, repaired: number): string {
  return `demo: ${proven} of ${servers} servers proven, ${keyCopies} key copies, ${repaired} drift found and repaired`
}
