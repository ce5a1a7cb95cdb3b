/** Bytes that come in pieces and are taken in others; joined only when a whole one is there, so that no drip is copied again and again. */
export interface Gather {
  readonly held: number
  push(piece: Buffer): void
  /** A number among the next bytes, which stay: they have to be held. */
  uint(at: number, bytes: number): number
  /** The next bytes; null: not all of them are there yet. */
  take(length: number): Buffer | null
}

export function makeGather(): Gather {
  let pieces: Buffer[] = []
  let held = 0
  const front = (length: number): Buffer => {
    const [first] = pieces
    if (first !== undefined && first.length >= length) return first
    const whole = Buffer.concat(pieces)
    pieces = [whole]
    return whole
  }
  return {
    get held() {
      return held
    },
    push(piece) {
      if (piece.length === 0) return
      pieces.push(piece)
      held += piece.length
    },
    uint: (at, bytes) => front(at + bytes).readUIntBE(at, bytes),
    take(length) {
      if (held < length) return null
      const whole = front(length)
      held -= length
      if (whole.length === length) {
        pieces.shift()
        return whole
      }
      pieces[0] = whole.subarray(length)
      return whole.subarray(0, length)
    },
  }
}
