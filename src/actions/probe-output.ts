import { once } from 'node:events'
import { createReadStream, createWriteStream, fstatSync } from 'node:fs'
import { open } from 'node:fs/promises'
import type { Writable } from 'node:stream'
import { finished } from 'node:stream/promises'
import { crc32 } from 'node:zlib'
import type { Verdict } from '../audit/probed.ts'
import { explainRead, explainWrite } from '../base/durable.ts'
import { fail, quote, systemCode } from '../base/errors.ts'
import { linesOf } from '../base/lines.ts'

/** What becomes of a line; `bad`: it cannot be read. */
export type LineVerdict = Verdict | 'bad'

/** The lines of a list that an output has already. */
export interface DoneLines {
  readonly counts: Readonly<Record<LineVerdict, number>>
  /** @throws OnecertError USAGE where the output has another text for this line: it belongs to another list */
  has(number: number, input: string): boolean
}

/** Takes lines in the order of the calls. */
export interface ProbeOutput {
  /** Resolves at once while the disk keeps up, else when it has caught up. @throws what the write threw */
  write(text: string): Promise<void>
  /** All that was written is there then, in a file also after a loss of power. @throws OnecertError STATE_* */
  close(): Promise<void>
}

/** An object has a leaf with its names, and the names of the chain. */
const objectBytesMax = 1024 * 1024
/** Of the texts that are waiting to be written. */
const waitingBytesMax = 1024 * 1024
/** Of each object. */
const beginning = '{"line":'
/** 4 bytes a line. */
const linesMax = 50_000_000

/**
 * What an output has, without keeping it: 4 bytes a line of the list. A torn last line is cut off.
 * @throws OnecertError INPUT_*, STATE_*, USAGE where it is no output of a list
 */
export async function readDone(path: string): Promise<DoneLines> {
  let hashes = new Uint32Array(1024)
  const counts: Record<LineVerdict, number> = { ok: 0, wrong: 0, unseen: 0, bad: 0 }
  let wholeBytes = 0
  try {
    for await (const { number, bytes, ended, offset } of linesOf(createReadStream(path), objectBytesMax)) {
      const begin = bytes.toString('utf8', 0, 4_096)
      // What a kill left of the last one.
      if (!ended && (begin.startsWith(beginning) || beginning.startsWith(begin))) {
        await cut(path, wholeBytes)
        break
      }
      wholeBytes = offset
      const found = /^\{"line":(\d{1,8}),"input":("(?:[^"\\]|\\.)*"),"verdict":"(ok|wrong|unseen|bad)"/.exec(begin)
      const line = Number(found?.[1])
      if (!found || line > linesMax)
        return fail('USAGE', {
          what: `line ${number} of ${path} was not written by onecert probe`,
          state: `${path} is as it was`,
          next: 'name the file that --out made, or leave --resume out and name a new one',
        })
      if (line >= hashes.length) {
        const larger = new Uint32Array(2 * line)
        larger.set(hashes)
        hashes = larger
      }
      // At least once: a line may stand there twice.
      if (hashes[line] === 0) counts[found[3] as LineVerdict] += 1
      hashes[line] = hashOf(found[2] ?? '')
    }
  } catch (error) {
    // The first run of a command that always says --resume.
    if (systemCode(error) !== 'ENOENT') throw await explainRead(error, path)
  }
  return {
    counts,
    has(number, input) {
      const hash = hashes[number] ?? 0
      if (hash === 0) return false
      if (hash === hashOf(JSON.stringify(input))) return true
      return fail('USAGE', {
        what: `${path} belongs to another list`,
        fact: `line ${number} is "${quote(input)}" now, and was another one`,
        state: 'nothing was added to it',
        next: 'give the list that it was made of, or name a new file without --resume',
      })
    },
  }
}

/** Never 0, which stands for none. */
function hashOf(text: string): number {
  return crc32(text) || 1
}

async function cut(path: string, bytes: number): Promise<void> {
  try {
    const file = await open(path, 'r+')
    try {
      await file.truncate(bytes)
    } finally {
      await file.close()
    }
  } catch (error) {
    throw await explainWrite(error, path)
  }
}

/** @throws OnecertError USAGE where it is there already and is not to be gone on with, STATE_* */
export async function openOutput(path: string, { resume }: { readonly resume: boolean }): Promise<ProbeOutput> {
  const file = await open(path, resume ? 'a' : 'ax', 0o600).catch(async (error: unknown) => {
    if (systemCode(error) !== 'EEXIST') throw await explainWrite(error, path)
    return fail('USAGE', {
      what: `${path} is there already`,
      state: 'it is as it was, and nothing was looked at',
      next: 'go on with it: --resume; or name another file',
    })
  })
  const stream = file.createWriteStream({ flush: true, highWaterMark: waitingBytesMax })
  return outputTo(
    stream,
    () => ended(stream),
    (error) => explainWrite(error, path),
  )
}

/** A file not by process.stdout: that stops the whole process while a disk is slow, and handshakes seem to time out. */
export function standardOutput(): ProbeOutput {
  const as = async (error: unknown) => error
  if (!fstatSync(1).isFile())
    return outputTo(process.stdout, () => new Promise((resolve) => process.stdout.write('', () => resolve())), as)
  const stream = createWriteStream('', { fd: 1, highWaterMark: waitingBytesMax })
  return outputTo(stream, () => ended(stream), as)
}

async function ended(stream: Writable): Promise<void> {
  stream.end()
  await finished(stream)
}

function outputTo(
  stream: Writable,
  end: () => Promise<void>,
  explain: (error: unknown) => Promise<unknown>,
): ProbeOutput {
  let failure: unknown = null
  let drained: Promise<unknown> | null = null
  stream.on('error', (error) => {
    failure ??= error
  })
  return {
    async write(text) {
      if (failure) throw failure
      if (stream.write(text)) return
      drained ??= once(stream, 'drain').finally(() => {
        drained = null
      })
      await drained
    },
    async close() {
      // What it throws is the failure of the stream.
      if (!failure) await end().catch(() => {})
      if (failure) throw await explain(failure)
    },
  }
}
