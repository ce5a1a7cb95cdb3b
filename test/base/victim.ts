import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Starts a script that writes for ever and tells each finished write in a line, kills it with -9 some time after its
 * first `linesBefore` lines, and gives all that it told.
 */
export async function killWhileWriting(script: string, words: readonly string[], linesBefore: number) {
  const child: ChildProcess = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, ...words], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  if (!child.stdout) throw new Error('no stdout')
  const told: string[] = []
  let killing: Promise<void> | undefined
  for await (const line of createInterface({ input: child.stdout })) {
    told.push(line)
    // The moment is left to chance on purpose: it decides which instruction is the last.
    if (told.length === linesBefore) killing = sleep(Math.random() * 30).then(() => void child.kill('SIGKILL'))
  }
  await killing
  if (child.signalCode === null && child.exitCode === null) await once(child, 'exit')
  if (child.signalCode !== 'SIGKILL') throw new Error(`${script} ended by itself: ${child.exitCode}`)
  return told
}
