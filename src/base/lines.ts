/** One line of a stream, without its line break. */
export interface Line {
  /** From 1. */
  readonly number: number
  /** The first `bytesMax` of it. Only good until the next line is asked for. */
  readonly bytes: Buffer
  /** It is longer than `bytesMax`. */
  readonly cut: boolean
  /** A line break ends it; false for the last one of a file that was torn. */
  readonly ended: boolean
  /** Bytes of the stream up to its end. */
  readonly offset: number
}

const lineFeed = 0x0a

/** The lines of a stream of any length, in the memory of one line and one chunk. */
export async function* linesOf(chunks: AsyncIterable<Uint8Array>, bytesMax: number): AsyncGenerator<Line> {
  let begun: Buffer[] = []
  let begunBytes = 0
  let number = 0
  let offset = 0
  const hold = (piece: Buffer) => {
    // A copy: the chunk is let go. What is beyond the limit is counted only.
    if (begunBytes < bytesMax) begun.push(Buffer.from(piece.subarray(0, bytesMax - begunBytes)))
    begunBytes += piece.length
  }
  const line = (last: Buffer, ended: boolean): Line => {
    const bytes = begunBytes === 0 ? last : Buffer.concat([...begun, last])
    const cut = begunBytes + last.length > bytesMax
    begun = []
    begunBytes = 0
    number += 1
    return { number, bytes: bytes.subarray(0, bytesMax), cut, ended, offset }
  }
  for await (const each of chunks) {
    const chunk = Buffer.from(each.buffer, each.byteOffset, each.byteLength)
    const before = offset
    let from = 0
    for (let at = chunk.indexOf(lineFeed); at >= 0; at = chunk.indexOf(lineFeed, from)) {
      offset = before + at + 1
      yield line(chunk.subarray(from, at), true)
      from = at + 1
    }
    offset = before + chunk.length
    if (from < chunk.length) hold(chunk.subarray(from))
  }
  if (begunBytes > 0) yield line(Buffer.alloc(0), false)
}
