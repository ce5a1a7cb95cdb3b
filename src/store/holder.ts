import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'

/** Names this process so that others on this machine can tell whether it still runs: `machine:pid:start time`. */
export function thisHolder(): string {
  return `${hostname()}:${process.pid}:${startTime(process.pid) ?? 0}`
}

/** Whether a holder may still be at work. One on another machine may; one here is looked for. */
export function holderAlive(holder: string): boolean {
  const [machine, pid, started] = holder.split(':')
  if (machine !== hostname()) return true
  try {
    process.kill(Number(pid), 0)
  } catch (error) {
    return (error as { code?: string }).code === 'EPERM'
  }
  // The id may have been given to another process since.
  const now = startTime(Number(pid))
  return now === null || started === '0' || now === started
}

/** For people: `process 4711 on db-1`. */
export function holderText(holder: string): string {
  const [machine, pid] = holder.split(':')
  return `process ${pid} on ${machine}`
}

/** Field 22 of proc(5) stat; null where there is no /proc. */
function startTime(pid: number): string | null {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19] ?? null
  } catch {
    return null
  }
}
