import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { fail, OnecertError } from './errors.ts'

/**
 * Writes a file so that after a crash there is the old one or the new one, whole: a new inode in the same directory,
 * flushed, renamed, and the directory flushed.
 * @throws OnecertError STATE_DISK_FULL, STATE_NOT_WRITABLE, STATE_DAMAGED; the old file is as it was
 */
export async function writeDurably(
  path: string,
  bytes: Uint8Array,
  { mode }: { readonly mode: number },
): Promise<void> {
  const directory = dirname(path)
  const temporary = join(directory, `.${basename(path)}.${randomBytes(6).toString('hex')}`)
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  try {
    const file = await open(temporary, flags, 0o600)
    try {
      await writeAll(file, bytes)
      await file.chmod(mode)
      // A failed fsync is never retried: the kernel may have dropped the pages (fsyncgate).
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, path)
    await flushDirectory(directory)
  } catch (error) {
    await rm(temporary, { force: true })
    throw await explainWrite(error, path)
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

export async function flushDirectory(directory: string): Promise<void> {
  const handle = await open(directory, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The error of a failed write, with the measured fact. */
export async function explainWrite(error: unknown, path: string): Promise<unknown> {
  const { code = '' } = error as { code?: string }
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    return new OnecertError('STATE_DISK_FULL', {
      what: `${path} cannot be written: the disk is full`,
      state: 'what was there is as it was',
      next: 'make room, then run the command again',
      cause: error,
    })
  }
  if (['EACCES', 'EPERM', 'EROFS', 'ENOENT', 'ENOTDIR'].includes(code)) {
    return new OnecertError('STATE_NOT_WRITABLE', {
      what: `${path} cannot be written`,
      fact: `${code}; ${await ownership(dirname(path))}`,
      state: 'what was there is as it was',
      next: 'run as an account that may write there, or name another place with --state',
      cause: error,
    })
  }
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

/**
 * Reads a regular file of at most `bytesMax` bytes; never waits for a FIFO or a device.
 * @throws OnecertError INPUT_NOT_FOUND, INPUT_NOT_A_FILE, INPUT_UNREADABLE, INPUT_TOO_LARGE
 */
export async function readBounded(path: string, { bytesMax }: { readonly bytesMax: number }): Promise<Uint8Array> {
  let file: FileHandle
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const { code = '' } = error as { code?: string }
    if (code === 'ENOENT' || code === 'ENOTDIR')
      fail('INPUT_NOT_FOUND', { what: `${path} is not there`, next: 'check the path' })
    if (code === 'EACCES') {
      fail('INPUT_UNREADABLE', {
        what: `${path} cannot be read`,
        fact: await ownership(path),
        next: 'run as an account that may read it',
      })
    }
    if (code === 'ENXIO' || code === 'EISDIR') fail('INPUT_NOT_A_FILE', { what: `${path} is no regular file` })
    throw error
  }
  try {
    const facts = await file.stat()
    if (!facts.isFile()) {
      const kind = facts.isDirectory() ? 'a directory' : facts.isFIFO() ? 'a FIFO' : 'a device'
      fail('INPUT_NOT_A_FILE', { what: `${path} is ${kind}, not a file` })
    }
    if (facts.size > bytesMax) {
      fail('INPUT_TOO_LARGE', { what: `${path} is too large`, fact: `${facts.size} bytes, limit ${bytesMax}` })
    }
    return new Uint8Array(await file.readFile())
  } finally {
    await file.close()
  }
}
