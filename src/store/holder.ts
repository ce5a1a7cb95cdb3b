import { hostname } from 'node:os'
import { processAlive, thisProcess } from '../base/process.ts'

/** Names this process so that others on this machine can tell whether it still runs: `machine:pid:start time`. */
export function thisHolder(): string {
  const { pid, started } = thisProcess()
  return `${hostname()}:${pid}:${started}`
}

/** Whether a holder may still be at work. One on another machine may; one here is looked for. */
export function holderAlive(holder: string): boolean {
  const [machine, pid, started = '0'] = holder.split(':')
  return machine !== hostname() || processAlive({ pid: Number(pid), started })
}

/** For people: `process 4711 on db-1`. */
export function holderText(holder: string): string {
  const [machine, pid] = holder.split(':')
  return `process ${pid} on ${machine}`
}
