/**
 * Clients that never stop: `fresh` ones make a new TLS connection for each request, `kept` ones ask again and again over one
 * and renew it when it is `keptMs` old. Nothing is tried twice: a request that fails is counted. Arguments: one of JSON.
 * A line on stdin is answered with the counts so far; at its end all requests are awaited, and the last counts printed.
 */
import { Agent, request } from 'node:https'
import { createInterface } from 'node:readline'
import { ask } from '../../src/dns/exchange.ts'
import type { Counts, LoadOptions } from './load.ts'

const { targets, name, path, resolver, root, fresh, kept, keptMs, restMs }: LoadOptions = JSON.parse(
  process.argv[2] ?? '{}',
)
const timeoutMs = 10_000

const counts = {
  fresh: { done: 0, failed: 0 },
  kept: { done: 0, failed: 0, connections: 0 },
  answers: {} as Record<string, number>,
  reasons: {} as Record<string, number>,
} satisfies Counts
let turn = 0
let ending = false

function get(agent: Agent | false, { address, port }: LoadOptions['targets'][number]): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const trust = root === undefined ? { rejectUnauthorized: false } : { ca: root }
    const options = { host: address, port, path, servername: name, headers: { host: name }, agent, ...trust }
    const outgoing = request({ ...options, timeout: timeoutMs }, (incoming) => {
      incoming.on('error', reject)
      incoming.on('end', () => {
        if (!incoming.complete) return reject(new Error('cut'))
        counts.answers[address] = (counts.answers[address] ?? 0) + 1
        resolve(incoming.headers.connection !== 'close')
      })
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

let published = { targets, untilMs: resolver ? 0 : Number.POSITIVE_INFINITY }

async function next() {
  if (resolver && performance.now() >= published.untilMs) published = await resolve(resolver)
  const target = published.targets[turn++ % published.targets.length]
  if (!target) throw new Error('no target')
  return target
}

/** Remembered as long as a resolver may, and no longer. */
async function resolve(server: NonNullable<LoadOptions['resolver']>): Promise<typeof published> {
  const limits = { timeoutMs, signal: AbortSignal.timeout(timeoutMs) }
  const { answers } = await ask(server, { name, type: 'A', recursive: false }, limits)
  const records = answers.flatMap((record) => (record.type === 'A' ? [record] : []))
  const named = records.map(({ data }) => targets.find(({ address }) => address === data))
  const known = named.filter((target) => target !== undefined)
  if (known.length < named.length) throw new Error(`${records.map(({ data }) => data)} are not all known`)
  return { targets: known, untilMs: performance.now() + 1_000 * Math.min(...records.map(({ ttl = 0 }) => ttl)) }
}

async function freshLane(): Promise<void> {
  for (; !ending; await rest()) {
    try {
      await get(false, await next())
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
    try {
      const target = await next()
      counts.kept.connections += 1
      for (const untilMs = performance.now() + keptMs; !ending && performance.now() < untilMs; await rest()) {
        const goesOn = await get(agent, target)
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
