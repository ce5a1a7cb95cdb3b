import { randomBytes } from 'node:crypto'
import { constants, type Stats } from 'node:fs'
import { type FileHandle, link, mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fail, OnecertError, systemCode } from './errors.ts'
import { processAlive, thisProcess } from './process.ts'

/**
 * Writes a file so that after a crash there is the old one or the new one, whole: a new inode in the same directory,
 * flushed, renamed, and the directory flushed.
 * @throws OnecertError STATE_DISK_FULL, STATE_NOT_WRITABLE, STATE_DAMAGED; the old file is as it was
 */
export function writeDurably(path: string, bytes: Uint8Array, { mode }: { readonly mode: number }): Promise<void> {
  return putDurably(path, bytes, mode, (temporary) => rename(temporary, path))
}

/**
 * Makes a file as {@link writeDurably} does, but never replaces one: of several that make it at once, one does.
 * @returns whether it was made; false where something has this name already, which is as it was
 * @throws OnecertError STATE_DISK_FULL, STATE_NOT_WRITABLE, STATE_DAMAGED
 */
export function createDurably(path: string, bytes: Uint8Array, { mode }: { readonly mode: number }): Promise<boolean> {
  return putDurably(path, bytes, mode, async (temporary) => {
    const created = await link(temporary, path).then(
      () => true,
      (error: unknown) => {
        if (systemCode(error) === 'EEXIST') return false
        throw error
      },
    )
    await rm(temporary)
    return created
  })
}

async function putDurably<T>(
  path: string,
  bytes: Uint8Array,
  mode: number,
  giveName: (temporary: string) => Promise<T>,
): Promise<T> {
  const directory = dirname(path)
  const { pid, started } = thisProcess()
  const temporary = join(directory, `.${basename(path)}.${pid}-${started}-${randomBytes(6).toString('hex')}`)
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  try {
    await removeAbandoned(directory)
    const file = await open(temporary, flags, 0o600)
    try {
      await writeAll(file, bytes)
      await file.chmod(mode)
      // A failed fsync is never retried: the kernel may have dropped the pages (fsyncgate).
      await file.sync()
    } finally {
      await file.close()
    }
    const given = await giveName(temporary)
    await flushDirectory(directory)
    return given
  } catch (error) {
    // What hinders this too is what is told.
    await rm(temporary, { force: true }).catch(() => {})
    throw await explainWrite(error, path)
  }
}

/** Takes away what writers in this directory left that were killed before it had its name: it may hold a key in clear. */
async function removeAbandoned(directory: string): Promise<void> {
  // A directory that may be written but not listed keeps them.
  const names = await readdir(directory).catch(() => [])
  for (const name of names) {
    const [, pid, started] = /^\..+\.(\d+)-(\d+)-[0-9a-f]{12}$/.exec(name) ?? []
    if (pid === undefined || started === undefined || processAlive({ pid: Number(pid), started })) continue
    await rm(join(directory, name), { force: true }).catch(() => {})
  }
}

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  let written = 0
  while (written < bytes.length) {
    // A full disk may write less than asked for, without an error.
    const { bytesWritten } = await file.write(bytes, written, bytes.length - written)
    if (bytesWritten === 0) throw Object.assign(new Error('short write'), { code: 'ENOSPC' })
    written += bytesWritten
  }
}

/**
 * Makes a directory and those above it, mode 0700, where they are not there. Node's own recursive mkdir never ends, nor
 * hears Ctrl-C, where a directory is there and takes none (/proc).
 * @throws errors of the system
 */
export async function makeDirectory(path: string): Promise<void> {
  const make = () =>
    mkdir(path, { mode: 0o700 }).catch(async (error: { code?: string }) => {
      if (error.code !== 'EEXIST' || !(await stat(path)).isDirectory()) throw error
    })
  await make().catch(async (error: { code?: string }) => {
    if (error.code !== 'ENOENT' || dirname(path) === path) throw error
    await makeDirectory(dirname(path))
    await make()
  })
}

export async function flushDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

const hindrances: Readonly<Record<string, string>> = {
  EACCES: '',
  EPERM: '',
  EROFS: ': the file system may only be read',
  ENOENT: '',
  ENOTDIR: ': a part of its path is no directory',
  EISDIR: ': a directory has its name',
  EEXIST: ': something else has its name',
  ENAMETOOLONG: ': its name is too long',
  ELOOP: ': its path leads in a circle',
}

/** The error of a failed write, with the measured fact. */
export async function explainWrite(error: unknown, path: string): Promise<unknown> {
  const code = systemCode(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new OnecertError('STATE_DISK_FULL', {
      what: `${path} cannot be written: the disk is full`,
      state: 'what was there is as it was',
      next: 'make room, then run the command again',
      cause: error,
    })
  }
  const hindrance = hindrances[code]
  if (hindrance !== undefined) {
    return new OnecertError('STATE_NOT_WRITABLE', {
      what: `${path} cannot be written`,
      fact: `${code}${hindrance}; ${await ownership(dirname(path))}`,
      state: 'what was there is as it was',
      next:
        code === 'ENOENT'
          ? `mkdir -p ${dirname(path)}, then run the command again`
          : 'run as an account that may write there, or name another place with --state',
      cause: error,
    })
  }
  if (code === 'EIO' || code === 'EUCLEAN') {
    return new OnecertError('STATE_DAMAGED', {
      what: `${path} cannot be written: the disk or its file system is damaged`,
      fact: code,
      state: 'whether the old or the new content is there is not certain',
      next: 'look into the log of the kernel (dmesg), and move the state to another disk',
      cause: error,
    })
  }
  return error
}

/** The error of a failed read, with the measured fact. */
export async function explainRead(error: unknown, path: string): Promise<unknown> {
  const code = systemCode(error)
  if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG', 'ELOOP'].includes(code)) {
    return new OnecertError('INPUT_NOT_FOUND', {
      what: `${path} is not there`,
      next: 'check the path',
      cause: error,
    })
  }
  if (code === 'EACCES' || code === 'EPERM') {
    return new OnecertError('INPUT_UNREADABLE', {
      what: `${path} cannot be read`,
      fact: await ownership(path),
      next: 'run as an account that may read it',
      cause: error,
    })
  }
  if (code === 'ENXIO' || code === 'EISDIR')
    return new OnecertError('INPUT_NOT_A_FILE', { what: `${path} is no regular file`, cause: error })
  return error
}

async function ownership(path: string): Promise<string> {
  const us = `we are uid ${process.getuid?.() ?? '?'}`
  try {
    const { uid, mode } = await stat(path)
    return `${path} belongs to uid ${uid}, mode ${(mode & 0o7777).toString(8).padStart(4, '0')}; ${us}`
  } catch {
    return `${path} is not there; ${us}`
  }
}

export interface ReadLimits {
  readonly bytesMax: number
  /** Sees the facts of the file that was opened, before anything is read, and throws what stands against it. */
  readonly admit?: (facts: Stats) => void
}

/**
 * Reads a regular file of at most `bytesMax` bytes; never waits for a FIFO or a device.
 * @throws OnecertError INPUT_NOT_FOUND, INPUT_NOT_A_FILE, INPUT_UNREADABLE, INPUT_TOO_LARGE, and what `admit` throws
 */
export async function readBounded(path: string, { bytesMax, admit }: ReadLimits): Promise<Uint8Array> {
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
    try {
      const facts = await file.stat()
      if (!facts.isFile()) {
        const kind = facts.isDirectory() ? 'a directory' : facts.isFIFO() ? 'a FIFO' : 'a device'
        fail('INPUT_NOT_A_FILE', { what: `${path} is ${kind}, not a file` })
      }
      admit?.(facts)
      if (facts.size > bytesMax) tooLarge(path, `${facts.size} bytes, limit ${bytesMax}`)
      return await readAll(file, path, bytesMax)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw await explainRead(error, path)
  }
}

/** The size that a file says is not the size that it has: it may grow, and those of /proc say 0. */
async function readAll(file: FileHandle, path: string, bytesMax: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of file.createReadStream({ end: bytesMax, autoClose: false })) chunks.push(chunk as Buffer)
  const bytes = new Uint8Array(Buffer.concat(chunks))
  if (bytes.length > bytesMax) tooLarge(path, `more than ${bytesMax} bytes, the limit`)
  return bytes
}

function tooLarge(path: string, fact: string): never {
  fail('INPUT_TOO_LARGE', { what: `${path} is too large`, fact })
}
