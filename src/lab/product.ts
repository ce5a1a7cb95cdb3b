import { spawn } from 'node:child_process'
import type { Status } from '../actions/status.ts'

/** How a command of the product ended. */
export interface Run {
  readonly exit: number
  readonly stdout: string
}

/** The real product, as a user runs it; its progress goes to our stderr. */
export type Product = (words: readonly string[], options?: { readonly show?: boolean }) => Promise<Run>

const launcher = new URL('../../bin/onecert', import.meta.url).pathname

export function productFor(fleetFile: string, stateDirectory: string): Product {
  return (words, { show = false } = {}) =>
    new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [launcher, '--fleet', fleetFile, '--state', stateDirectory, ...words], {
        stdio: ['ignore', show ? 'inherit' : 'pipe', 'inherit'],
      })
      let stdout = ''
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        stdout += text
      })
      child.on('error', reject)
      child.on('close', (code) => resolve({ exit: code ?? 1, stdout }))
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
  const { stdout } = await product(['status', '--json'])
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
