import { statSync } from 'node:fs'
import { explainWrite } from '../base/durable.ts'
import { OnecertError } from '../base/errors.ts'

/** Result codes of SQLite (sqlite.org/rescode.html); the low byte of an extended one is its primary code. */
const primary = {
  perm: 3,
  busy: 5,
  locked: 6,
  readOnly: 8,
  full: 13,
  cannotOpen: 14,
  protocol: 15,
  constraint: 19,
  mismatch: 20,
  misuse: 21,
  range: 25,
}
/** The shared memory beside the database cannot grow: unlike all else, SQLite does not tell this as a full disk. */
const ioErrorShmSize = 4874

const heldByAnother: readonly number[] = [primary.busy, primary.locked, primary.protocol]
const notWritable: readonly number[] = [primary.perm, primary.readOnly, primary.cannotOpen]
/** What only a defect in our own statements brings about. */
const defects: readonly number[] = [primary.constraint, primary.mismatch, primary.misuse, primary.range]

interface SqliteError {
  readonly errcode?: number
  readonly errstr?: string
}

/** Another process holds a lock that we need: a moment later it may not. */
export function isBusy(error: unknown): boolean {
  return heldByAnother.includes(((error as SqliteError).errcode ?? 0) & 0xff)
}

/** The error of a failed operation on the state, with what SQLite says; what is none of SQLite's is left as it is. */
export async function explainSqlite(error: unknown, path: string): Promise<unknown> {
  const { errcode, errstr = '' } = error as SqliteError
  if (error instanceof OnecertError) return error
  if (errcode === undefined) return explainWrite(error, path)
  const code = errcode & 0xff
  if (defects.includes(code)) return error
  if (code === primary.full || errcode === ioErrorShmSize) return explainWrite({ code: 'ENOSPC' }, path)
  if (notWritable.includes(code)) {
    return explainWrite({ code: isDirectory(path) ? 'EISDIR' : 'EACCES' }, path)
  }
  const fact = `SQLite says: ${errstr}`
  if (heldByAnother.includes(code)) {
    return new OnecertError('STATE_BUSY', {
      what: `another process holds the state in ${path}`,
      fact,
      state: 'nothing was changed in it',
      next: 'wait for the other onecert, or for the backup that reads it, then run the command again',
      cause: error,
    })
  }
  return new OnecertError('STATE_DAMAGED', {
    what: `the state in ${path} cannot be read or written`,
    fact,
    state: 'nothing was changed; the servers go on serving what they have',
    next: `put a backup of ${path} back, or move it away: observation and the fleet file bring back what matters`,
    cause: error,
  })
}

function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory()
  } catch {
    // Not there, or in a directory that we may not pass through.
    return false
  }
}
