import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { OnecertError } from '../../src/base/errors.ts'
import { canonicalJson, link } from '../../src/ledger/chain.ts'
import { thisHolder } from '../../src/store/holder.ts'
import type { Store } from '../../src/store/store.ts'
import { generationOf } from './rows.ts'

/** A module that another process can import, and what its `openStore` is given there. */
export interface StoreAddress {
  readonly module: string
  readonly where: string
}

type Task = 'generations' | 'records' | 'leases' | 'everything'

export const workerScript = import.meta.filename

export function workerWords({ module, where }: StoreAddress, task: Task, count: number): string[] {
  return [module, where, task, String(count)]
}

/** Lets processes do the same task on the same state, begun together; each stays until all are done. Their lines. */
export async function race(processes: number, address: StoreAddress, task: Task, count: number): Promise<string[][]> {
  const words = ['--disable-warning=ExperimentalWarning', workerScript, ...workerWords(address, task, count)]
  const workers = Array.from({ length: processes }, () => {
    const child = spawn(process.execPath, words, { stdio: ['pipe', 'pipe', 'inherit'] })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    return { child, lines, ended: once(child, 'exit') }
  })
  const ready = await Promise.all(workers.map(({ lines }) => lines.next()))
  if (ready.some(({ done }) => done)) throw new Error('a worker did not start')
  for (const { child } of workers) child.stdin.write('go\n')
  const told = await Promise.all(
    workers.map(async ({ lines }) => {
      const mine: string[] = []
      for (let line = await lines.next(); !line.done; line = await lines.next()) {
        mine.push(line.value)
        if (mine.length === count) break
      }
      return mine
    }),
  )
  for (const { child } of workers) child.stdin.end()
  for (const { ended } of workers) {
    const [exit] = await ended
    if (exit !== 0) throw new Error(`a worker ended with ${exit}`)
  }
  return told
}

async function step(store: Store, task: Task, number: number): Promise<readonly unknown[]> {
  const body = (suffix: string) => ({ atMs: number, body: canonicalJson({ pid: process.pid, number, suffix }) })
  switch (task) {
    case 'generations':
      return [(await store.addGeneration(generationOf('shared', `${process.pid}-${number}`))).number]
    case 'records':
      return (await store.appendRecord([body('a'), body('b')], link)).map(({ seq }) => seq)
    case 'leases': {
      const wanted = { holder: thisHolder(), nowMs: 1_000, lifetimeMs: 60_000 }
      const outcome = await store.acquireLease(`l${number}`, wanted).then(
        () => 'acquired',
        (error: unknown) => (error instanceof OnecertError ? error.code : String(error)),
      )
      return [`l${number}`, outcome]
    }
    case 'everything': {
      const { number: generation } = await store.addGeneration(generationOf('www', `${process.pid}-${number}`))
      const id = `${process.pid}-${number}`
      await store.startRollout({ id, lineage: 'www', generation, token: 1, startedAtMs: number })
      await store.setServerState(id, `s${generation}`, 'committed', { number }, number)
      const [row] = await store.appendRecord([body('')], link)
      return [generation, row?.seq]
    }
  }
}

async function work(store: Store, task: Task, count: number): Promise<void> {
  const stdin = process.stdin.resume()
  const ended = once(stdin, 'end')
  process.stdout.write('ready\n')
  await Promise.race([once(stdin, 'data'), ended])
  for (let number = 1; number <= count; number++) {
    process.stdout.write(`${(await step(store, task, number)).join(' ')}\n`)
  }
  await ended
}

if (import.meta.main) {
  const [, , module = '', where = '', task = '', count = ''] = process.argv
  const { openStore } = (await import(module)) as { openStore(where: string): Promise<Store> }
  const store = await openStore(where)
  await work(store, task as Task, Number(count))
  await store.close()
}
