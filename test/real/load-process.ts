/**
 * Clients that never stop: `fresh` ones make a new TLS connection for each request, `kept` ones ask again and again over one
 * and renew it when it is `keptMs` old. Nothing is tried twice: a request that fails is counted. Arguments: one of JSON.
 * A line on stdin is answered with the counts so far; at its end all requests are awaited, and the last counts printed.
 */
import { Agent, request } from 'node:https'
import { createInterface } from 'node:readline'
import type { Counts, LoadOptions } from './load.ts'

const { targets, name, fresh, kept, keptMs, restMs }: LoadOptions = JSON.parse(process.argv[2] ?? '{}')
const timeoutMs = 10_000

const counts = {
  fresh: { done: 0, failed: 0 },
  kept: { done: 0, failed: 0, connections: 0 },
  reasons: {} as Record<string, number>,
} satisfies Counts
let turn = 0
let ending = false

function ask(agent: Agent | false, { address, port }: LoadOptions['targets'][number]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const options = { host: address, port, servername: name, headers: { host: name }, rejectUnauthorized: false, agent }
    const outgoing = request({ ...options, timeout: timeoutMs }, (incoming) => {
      incoming.on('error', reject)
      incoming.on('end', () =>
        incoming.complete ? resolve(incoming.headers.connection !== 'close') : reject(new Error('cut')),
      )
      incoming.resume()
    })
    outgoing.on('timeout', () => outgoing.destroy(new Error('timeout')))
    outgoing.on('error', reject)
    outgoing.end()
  })
}

function note(kind: string, error: unknown): void {
  const { code, message } = error as NodeJS.ErrnoException
  const reason = `${kind} ${code ?? message}`
  counts.reasons[reason] = (counts.reasons[reason] ?? 0) + 1
}

const rest = () => new Promise((resolve) => setTimeout(resolve, restMs))

function next() {
  const target = targets[turn++ % targets.length]
  if (!target) throw new Error('no target')
  return target
}

async function freshLane(): Promise<void> {
  for (; !ending; await rest()) {
    try {
      await ask(false, next())
      counts.fresh.done += 1
    } catch (error) {
      counts.fresh.failed += 1
      note('fresh', error)
    }
  }
}

async function keptLane(): Promise<void> {
  while (!ending) {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const target = next()
    counts.kept.connections += 1
    try {
      for (const untilMs = performance.now() + keptMs; !ending && performance.now() < untilMs; await rest()) {
        const goesOn = await ask(agent, target)
        counts.kept.done += 1
        if (!goesOn) break
      }
    } catch (error) {
      counts.kept.failed += 1
      note('kept', error)
      await rest()
    }
    agent.destroy()
  }
}

const print = () => process.stdout.write(`${JSON.stringify(counts)}\n`)
const lanes = [...Array.from({ length: fresh }, freshLane), ...Array.from({ length: kept }, keptLane)]
const commands = createInterface({ input: process.stdin })
commands.on('line', print)
commands.on('close', async () => {
  ending = true
  await Promise.all(lanes)
  print()
  process.exit(0)
})
