import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'

const intervalMs = 50

/** Looks again and again at how much memory a process has taken; call the result when it has ended. @returns the most, in bytes */
export function watchMemory({ pid }: ChildProcess): () => number {
  let peakBytes = 0
  const timer = setInterval(async () => {
    const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
    peakBytes = Math.max(peakBytes, 1_024 * Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1] ?? 0))
  }, intervalMs)
  return () => {
    clearInterval(timer)
    return peakBytes
  }
}
