import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'

export interface LoadOptions {
  readonly targets: readonly { readonly address: string; readonly port: number }[]
  /** Host name and SNI. */
  readonly name: string
  /** Default: `/`. */
  readonly path?: string
  /** A name server, asked for the A records of the name as often as they say: the targets are those that it names. */
  readonly resolver?: { readonly address: string; readonly port: number }
  /** The root that alone is trusted, in PEM; default: whatever is served is taken. */
  readonly root?: string
  /** Clients that connect anew for each request. */
  readonly fresh: number
  /** Clients that keep their connection, and for how long. */
  readonly kept: number
  readonly keptMs: number
  /** Between two requests of a client. */
  readonly restMs: number
}

export interface Counts {
  readonly fresh: { readonly done: number; readonly failed: number }
  readonly kept: { readonly done: number; readonly failed: number; readonly connections: number }
  /** Answers by the address that they came from. */
  readonly answers: Readonly<Record<string, number>>
  /** How often what went wrong. */
  readonly reasons: Readonly<Record<string, number>>
}

/** Clients in a process of their own: what this one does holds none of them up. */
export interface Load extends AsyncDisposable {
  counts(): Promise<Counts>
  /** Ends when the last answer is here. */
  stop(): Promise<Counts>
}

const defaults = { fresh: 4, kept: 4, keptMs: 400, restMs: 5 }

export async function startLoad(given: Pick<LoadOptions, 'targets' | 'name'> & Partial<LoadOptions>): Promise<Load> {
  const entry = new URL('load-process.ts', import.meta.url).pathname
  // Nothing else of them: a service that is stopped ends all that has its paths in the argv.
  const targets = given.targets.map(({ address, port }) => ({ address, port }))
  const child = spawn(process.execPath, [entry, JSON.stringify({ ...defaults, ...given, targets })], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const gone = once(child, 'exit')
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const read = async (): Promise<Counts> => {
    const { value, done } = await lines.next()
    if (done) throw new Error('the load generator ended')
    return JSON.parse(value)
  }
  const load: Load = {
    counts() {
      child.stdin.write('\n')
      return read()
    },
    async stop() {
      child.stdin.end()
      const last = await read()
      await gone
      return last
    },
    async [Symbol.asyncDispose]() {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGKILL')
      await gone
    },
  }
  // It has begun when each of its ways has brought an answer.
  for (let tries = 0; ; tries++) {
    const { fresh, kept } = await load.counts()
    if (fresh.done + fresh.failed > 0 && (given.kept === 0 || kept.done + kept.failed > 0)) return load
    if (tries > 500) throw new Error('the load generator gets no answer')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
