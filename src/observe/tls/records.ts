import { hearAlert } from './alert.ts'
import { malformed, TlsFlaw } from './flaw.ts'
import { makeGather } from './gather.ts'
import type { Open } from './protection.ts'

export const contentType = { changeCipherSpec: 20, alert: 21, handshake: 22, applicationData: 23 } as const

/** A handshake message (RFC 8446 section 4). */
export interface Message {
  readonly type: number
  readonly body: Buffer
  /** With its header, as it goes into the transcript. */
  readonly raw: Buffer
}

/** Limits of one handshake. A chain of ten certificates is some 20 KB. */
const limits = {
  receivedBytesMax: 262_144,
  /** That of OpenSSL: most clients could do nothing with a longer chain. */
  messageBytesMax: 102_400,
  /** A server may cut its messages into single bytes. */
  recordsMax: 16_384,
  /** RFC 8446 section 5.1. */
  recordBytesMax: 16_384,
} as const

/** RFC 8446 section 5.2: what encryption may add. */
const expansionBytesMax = 256

const headerBytes = 5

export interface Records {
  /** What came, in pieces of any length; the piece is kept. */
  push(piece: Buffer): void
  /** The next handshake message that is whole; null: more has to come first. @throws TlsFlaw */
  next(): Message | null
  /** From here on, handshake messages come encrypted. @throws TlsFlaw */
  protect(open: Open): void
  /** The last message has to be the last of its record: the keys change behind it. @throws TlsFlaw */
  expectEnd(): void
}

/** The record layer, reading: records into messages, wherever either is cut (RFC 8446 section 5.1). */
export function makeRecords(): Records {
  const received = makeGather()
  const fragments = makeGather()
  let open: Open | null = null
  let bytes = 0
  let count = 0

  const readRecord = (): boolean => {
    if (count === 0 && received.held > 0) refuseOtherProtocols(received.uint(0, 1))
    if (received.held < headerBytes) return false
    const type = received.uint(0, 1)
    const length = received.uint(3, 2)
    if (received.uint(1, 1) !== 3) {
      if (count === 0) notTls()
      malformed('a record of no version of TLS')
    }
    if (length > limits.recordBytesMax + (open ? expansionBytesMax : 0)) malformed(`a record of ${length} bytes`)
    const whole = received.take(headerBytes + length)
    if (whole === null) return false
    count += 1
    if (count > limits.recordsMax) malformed(`more than ${limits.recordsMax} records`)
    const body = whole.subarray(headerBytes)
    if (open !== null && type === contentType.applicationData) {
      const plain = open(whole.subarray(0, headerBytes), body)
      const end = endOfContent(plain)
      hear(plain.readUInt8(end), plain.subarray(0, end))
    } else if (open !== null && type === contentType.handshake) malformed('a handshake message that is not encrypted')
    else if (type === contentType.changeCipherSpec) ignoreChangeCipherSpec(body)
    else hear(type, body)
    return true
  }
  const hear = (type: number, body: Buffer) => {
    if (type === contentType.handshake) {
      // RFC 8446 section 5.1: no empty fragments of the handshake.
      if (body.length === 0) malformed('an empty handshake record')
      fragments.push(body)
      return
    }
    if (fragments.held > 0) malformed('a record of another kind inside of a handshake message')
    if (type === contentType.alert) hearAlert(body, open !== null)
    else malformed(`a record of type ${type} in the handshake`)
  }
  const ignoreChangeCipherSpec = (body: Buffer) => {
    // RFC 8446 section 5: of the single byte 1, without a meaning.
    if (body.length !== 1 || body[0] !== 1 || fragments.held > 0) malformed('a damaged change_cipher_spec')
  }
  // RFC 8446 section 5.1.
  const expectEnd = () => {
    if (fragments.held > 0) malformed('a record that goes on behind a change of keys')
  }
  return {
    push(piece) {
      bytes += piece.length
      if (bytes > limits.receivedBytesMax) malformed(`more than ${limits.receivedBytesMax} bytes`)
      received.push(piece)
    },
    next() {
      for (;;) {
        if (fragments.held >= 4) {
          const length = fragments.uint(1, 3)
          if (length > limits.messageBytesMax) malformed(`a handshake message of ${length} bytes`)
          const raw = fragments.take(4 + length)
          // RFC 5246 section 7.4.1.1: a HelloRequest says nothing to a client that says hello already, and is in no transcript.
          if (raw !== null && open === null && raw.readUInt32BE(0) === 0) continue
          if (raw !== null) return { type: raw.readUInt8(0), body: raw.subarray(4), raw }
        }
        if (!readRecord()) return null
      }
    },
    protect(opens) {
      expectEnd()
      open = opens
    },
    expectEnd,
  }
}

/** TLSInnerPlaintext (RFC 8446 section 5.2): where the type stands, behind the content and before the padding. */
function endOfContent(plain: Buffer): number {
  // The padding counts too.
  if (plain.length > limits.recordBytesMax + 1) malformed(`an encrypted record of ${plain.length} bytes`)
  let end = plain.length - 1
  while (end >= 0 && plain[end] === 0) end -= 1
  if (end < 0) malformed('an encrypted record without content')
  return end
}

/** The first thing that a TLS server says is a handshake or an alert. */
function refuseOtherProtocols(first: number): void {
  if (first !== contentType.handshake && first !== contentType.alert) notTls()
}

function notTls(): never {
  throw new TlsFlaw('not-tls', 'its answer is no TLS record')
}

/** RFC 8446 section 5.1: 3.1 in the first hello, for old servers; 3.3 in all else. */
export const firstVersion = 0x0301

/** One unencrypted record. */
export function plainRecord(type: number, body: Buffer, version = 0x0303): Buffer {
  const record = Buffer.allocUnsafe(5 + body.length)
  record[0] = type
  record.writeUInt16BE(version, 1)
  record.writeUInt16BE(body.length, 3)
  body.copy(record, 5)
  return record
}
