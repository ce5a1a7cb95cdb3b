import { asOnecertError, fail, quote, textOf } from '../base/errors.ts'
import { linesOf } from '../base/lines.ts'
import { bracketed } from '../pki/names.ts'
import { type Place, type PlaceProbed, parsePlace } from './probe.ts'
import type { DoneLines, LineVerdict } from './probe-output.ts'

/** Counts while it runs: somebody looks at it now and then. */
export interface ListProgress {
  /** Bytes of the input up to the last line that was begun. */
  offset: number
  /** The same, where the first line was that is not done already. */
  firstOffset: number
  /** Lines that OUT had already. */
  skipped: number
  readonly counts: Record<LineVerdict, number>
}

export interface ListSettings {
  /** The list, of any length. */
  readonly input: AsyncIterable<Uint8Array>
  /** Takes one line of output; waits where the output is slow. */
  readonly write: (text: string) => Promise<void>
  readonly probe: (place: Place, signal: AbortSignal) => Promise<PlaceProbed>
  /** For lines that have none. */
  readonly name?: string
  readonly port: number
  readonly concurrency: number
  readonly done: DoneLines | null
  readonly progress: ListProgress
}

/** A host name has 253 bytes, an address 45; an object of another program may say much more. */
const lineBytesMax = 4_096
const inputShownMax = 300

export function listProgress(done: DoneLines | null): ListProgress {
  return { offset: 0, firstOffset: 0, skipped: 0, counts: { ok: 0, wrong: 0, unseen: 0, bad: 0, ...done?.counts } }
}

/**
 * One object for each line of a list, in the order in which they are done, in the memory of `concurrency` lines. Blank
 * lines and those that begin with # have none.
 * @throws OnecertError USAGE where OUT belongs to another list; what `write` throws; or the reason of the signal
 */
export async function probeList(settings: ListSettings, signal: AbortSignal): Promise<void> {
  const { input, write, probe, name, port, concurrency, done, progress } = settings
  const stop = new AbortController()
  const either = AbortSignal.any([signal, stop.signal])
  const lines = waitingLines(input, done, progress)
  const lane = async () => {
    for (let next = await lines.next(); !next.done; next = await lines.next()) {
      either.throwIfAborted()
      const { number, text } = next.value
      const { verdict, endpoints, problem } = await probeLine(next.value, { name, port, probe }, either)
      // probe-output.ts finds the first three without parsing the line.
      await write(`${JSON.stringify({ line: number, input: shown(text), verdict, endpoints, problem })}\n`)
      progress.counts[verdict] += 1
    }
  }
  const lanes = Array.from({ length: concurrency }, () => lane().catch((error: unknown) => stop.abort(error)))
  await Promise.all(lanes)
  await lines.return(undefined)
  if (either.aborted) throw either.reason
}

interface Waiting {
  readonly number: number
  readonly text: string
  readonly cut: boolean
}

/** Without the lines that are done, and without those that say nothing. */
async function* waitingLines(
  input: AsyncIterable<Uint8Array>,
  done: DoneLines | null,
  progress: ListProgress,
): AsyncGenerator<Waiting, undefined> {
  for await (const { number, bytes, cut, offset } of linesOf(input, lineBytesMax)) {
    // trim() takes a byte order mark too.
    const text = bytes.toString('utf8').trim()
    if (text === '' || text.startsWith('#')) continue
    if (done?.has(number, shown(text))) {
      progress.skipped += 1
      progress.firstOffset = offset
      progress.offset = offset
      continue
    }
    progress.offset = offset
    yield { number, text, cut }
  }
}

type LineProbed = Omit<PlaceProbed, 'verdict'> & { readonly verdict: LineVerdict }

async function probeLine(
  { text, cut }: Waiting,
  { name, port, probe }: Pick<ListSettings, 'port' | 'probe'> & { readonly name: string | undefined },
  signal: AbortSignal,
): Promise<LineProbed> {
  let place: Place
  try {
    if (cut) fail('USAGE', { what: 'the line is too long', fact: `more than ${lineBytesMax} bytes` })
    place = placeOf(text, name, port)
  } catch (error) {
    return { verdict: 'bad', endpoints: [], problem: asOnecertError(error) }
  }
  return probe(place, signal)
}

/** `ADDRESS[:PORT][ NAME]`, or an object with `address`, and `port` and `name` where they are not those of all. */
function placeOf(text: string, name: string | undefined, port: number): Place {
  if (!text.startsWith('{')) {
    const [where = '', asked, ...more] = text.split(/\s+/)
    if (more.length > 0)
      fail('USAGE', {
        what: `"${quote(text)}" has ${more.length + 2} words`,
        fact: 'expected ADDRESS[:PORT] and perhaps a NAME',
      })
    return parsePlace(where, asked ?? name, port)
  }
  const written = objectOf(text)
  const { address, port: itsPort = port, name: itsName = name } = written
  if (
    typeof address !== 'string' ||
    typeof itsPort !== 'number' ||
    !(itsName === undefined || typeof itsName === 'string')
  )
    fail('USAGE', {
      what: `"${quote(text)}" names no endpoint`,
      fact: 'expected "address" (text), and perhaps "port" (number) and "name" (text)',
    })
  return parsePlace(`${bracketed(address)}:${itsPort}`, itsName, port)
}

function objectOf(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch (cause) {
    return fail('USAGE', { what: `"${quote(text)}" is no JSON`, fact: quote(textOf(cause)), cause })
  }
}

function shown(text: string): string {
  return quote(text, inputShownMax)
}
