import { readdir, readFile } from 'node:fs/promises'

/** A pid may be given to another process later; with its start it is one process for good. */
export interface Process {
  readonly pid: number
  readonly parent: number
  readonly group: number
  /** Clock ticks since boot. */
  readonly started: string
}

/** The given processes, all below them, and those of the process group. */
export async function processesBelow(pids: readonly number[], group: number | undefined): Promise<Process[]> {
  const all = await allProcesses()
  const found = new Map(
    all.filter((each) => pids.includes(each.pid) || each.group === group).map((each) => [each.pid, each]),
  )
  for (let before = -1; before !== found.size; ) {
    before = found.size
    for (const each of all) if (found.has(each.parent)) found.set(each.pid, each)
  }
  return [...found.values()]
}

export async function sameProcess({ pid, started }: Process): Promise<boolean> {
  return (await readProcess(pid))?.started === started
}

/** The masters of a program whose configuration lies in the directory: both stand in their argv. */
export async function processesRunning(program: string, directory: string): Promise<number[]> {
  const all = await allProcesses()
  const words = await Promise.all(all.map(({ pid }) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
  return all
    .filter((_, at) => words[at]?.includes(program) && words[at]?.includes(`${directory}/`))
    .map(({ pid }) => pid)
}

/** The processes that were started with the directory as their HOME, as all are that come in by a lab's sshd. */
export async function processesAtHome(directory: string): Promise<number[]> {
  const all = await allProcesses()
  const environments = await Promise.all(all.map(({ pid }) => readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '')))
  return all.filter((_, at) => environments[at]?.split('\0').includes(`HOME=${directory}`)).map(({ pid }) => pid)
}

async function allProcesses(): Promise<Process[]> {
  const pids = (await readdir('/proc')).map(Number).filter(Number.isInteger)
  const all = await Promise.all(pids.map(readProcess))
  return all.filter((each) => each !== null)
}

/** proc(5): the command's name is in parentheses and may hold any character; a zombie has ended. */
async function readProcess(pid: number): Promise<Process | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => '')
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
  const [state, parent, group] = fields
  const started = fields[19]
  if (started === undefined || state === 'Z' || state === 'X') return null
  return { pid, parent: Number(parent), group: Number(group), started }
}
