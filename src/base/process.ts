import { readFileSync } from 'node:fs'
import { systemCode } from './errors.ts'

/** A process of this machine: its id alone may be given to another one once it has ended. */
export interface ProcessName {
  readonly pid: number
  /** Clock ticks from boot to its start; `0` where the system does not tell. */
  readonly started: string
}

export function thisProcess(): ProcessName {
  return { pid: process.pid, started: startTime(process.pid) ?? '0' }
}

/** Whether it may still be at work. */
export function processAlive({ pid, started }: ProcessName): boolean {
  try {
    process.kill(pid, 0)
  } catch (error) {
    return systemCode(error) === 'EPERM'
  }
  const now = startTime(pid)
  return now === null || started === '0' || now === started
}

/** Field 22 of proc(5) stat; null where there is no /proc. */
function startTime(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19] ?? null
  } catch {
    return null
  }
}
