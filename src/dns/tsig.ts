import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Secret } from '../base/secret.ts'
import { encodeName, plainName, sameName } from './message.ts'

/** RFC 8945 section 6. The older ones (MD5, SHA-1, SHA-224) are refused. */
export const tsigAlgorithms = { 'hmac-sha256': 'sha256', 'hmac-sha384': 'sha384', 'hmac-sha512': 'sha512' } as const
export type TsigAlgorithm = keyof typeof tsigAlgorithms

export interface TsigKey {
  /** As the server knows it. */
  readonly name: string
  readonly algorithm: TsigAlgorithm
  readonly secret: Secret<Buffer>
}

/** What the TSIG record of a response says. Nothing of the response counts unless it is `good` or `clock`. */
export type TsigVerdict =
  | { readonly kind: 'good' }
  /** The server refuses our time; it signed that, and said its own. */
  | { readonly kind: 'clock'; readonly serverMs: number }
  /** The server does not accept our signature. It cannot sign that. */
  | { readonly kind: 'refused'; readonly error: 'BADKEY' | 'BADSIG' }
  | { readonly kind: 'unsigned' }
  | { readonly kind: 'bad'; readonly reason: string }

const tsigType = 250
const anyClass = 255
/** RFC 8945 section 10: what clocks may differ. */
const fudgeS = 300
const headerBytes = 12
const additionalCountAt = 10
const badSig = 16
const badKey = 17
const badTime = 18

/** The message with a TSIG record at its end, and the MAC that the response is bound to (RFC 8945 section 4). */
export function signMessage(
  message: Buffer,
  key: TsigKey,
  { nowMs }: { readonly nowMs: number },
): { readonly bytes: Buffer; readonly mac: Buffer } {
  const time = uint48(Math.floor(nowMs / 1000))
  const variables = tsigVariables(key, { time, fudgeS, error: 0, other: Buffer.alloc(0) })
  const mac = hmac(key, [message, variables])
  const data = Buffer.concat([
    encodeName(key.algorithm),
    time,
    uint16(fudgeS),
    uint16(mac.length),
    mac,
    message.subarray(0, 2),
    uint16(0),
    uint16(0),
  ])
  const record = [encodeName(key.name), uint16(tsigType), uint16(anyClass), Buffer.alloc(4), uint16(data.length), data]
  const bytes = Buffer.concat([message, ...record])
  bytes.writeUInt16BE(message.readUInt16BE(additionalCountAt) + 1, additionalCountAt)
  return { bytes, mac }
}

/** Judges the TSIG record of a response (RFC 8945 section 5.4). */
export function verifyMessage(
  bytes: Buffer,
  key: TsigKey,
  { requestMac, nowMs }: { readonly requestMac: Buffer; readonly nowMs: number },
): TsigVerdict {
  let record: TsigRecord | null
  try {
    record = readTsig(bytes)
  } catch {
    return { kind: 'bad', reason: 'its records cannot be read' }
  }
  if (record === null) return { kind: 'unsigned' }
  // RFC 8945 section 5.3.2: these two come without a MAC.
  if (record.error === badKey) return { kind: 'refused', error: 'BADKEY' }
  if (record.error === badSig) return { kind: 'refused', error: 'BADSIG' }
  if (!sameName(record.keyName, key.name)) return { kind: 'bad', reason: 'it is signed with another key' }
  if (!sameName(record.algorithm, key.algorithm)) return { kind: 'bad', reason: 'it is signed with another algorithm' }
  const unsigned = Buffer.from(bytes.subarray(0, record.at))
  unsigned.writeUInt16BE(record.originalId, 0)
  unsigned.writeUInt16BE(unsigned.readUInt16BE(additionalCountAt) - 1, additionalCountAt)
  const variables = tsigVariables(key, record)
  const expected = hmac(key, [uint16(requestMac.length), requestMac, unsigned, variables])
  // RFC 8945 section 5.2.2.1 lets a MAC be cut; ours never are.
  if (record.mac.length !== expected.length || !timingSafeEqual(record.mac, expected)) {
    return { kind: 'bad', reason: 'its signature (MAC) does not fit what it says' }
  }
  if (record.error === badTime && record.other.length === 6) {
    return { kind: 'clock', serverMs: record.other.readUIntBE(0, 6) * 1000 }
  }
  if (record.error !== 0) return { kind: 'bad', reason: `it has the TSIG error ${record.error}` }
  // RFC 8945 section 5.2.3.
  const apartS = Math.abs(Math.floor(nowMs / 1000) - record.time.readUIntBE(0, 6))
  if (apartS > record.fudgeS) return { kind: 'bad', reason: `it was signed ${apartS} s away from our clock` }
  return { kind: 'good' }
}

interface TsigRecord {
  /** Where it begins. */
  readonly at: number
  readonly keyName: string
  readonly algorithm: string
  readonly time: Buffer
  readonly fudgeS: number
  readonly mac: Buffer
  readonly originalId: number
  readonly error: number
  readonly other: Buffer
}

/** RFC 8945 section 5.1: it is the last record of the additional section. @throws RangeError where the bytes end too soon */
function readTsig(bytes: Buffer): TsigRecord | null {
  const [questions = 0, ...counts] = [4, 6, 8, additionalCountAt].map((at) => bytes.readUInt16BE(at))
  if (counts.at(-1) === 0) return null
  let at = headerBytes
  for (let left = questions; left > 0; left--) at = readName(bytes, at).end + 4
  for (let left = counts.reduce((sum, count) => sum + count, 0); left > 1; left--) {
    const { end } = readName(bytes, at)
    at = end + 10 + bytes.readUInt16BE(end + 8)
  }
  const owner = readName(bytes, at)
  if (bytes.readUInt16BE(owner.end) !== tsigType) return null
  const dataAt = owner.end + 10
  const dataEnd = dataAt + bytes.readUInt16BE(owner.end + 8)
  // RFC 8945 section 4.2: class ANY, TTL 0.
  if (bytes.readUInt16BE(owner.end + 2) !== anyClass || bytes.readUInt32BE(owner.end + 4) !== 0) {
    throw new RangeError('no TSIG record')
  }
  if (dataEnd !== bytes.length) throw new RangeError('not at the end')
  const algorithm = readName(bytes, dataAt)
  const macAt = algorithm.end + 10
  const idAt = macAt + bytes.readUInt16BE(algorithm.end + 8)
  const otherAt = idAt + 6
  if (otherAt + bytes.readUInt16BE(idAt + 4) !== dataEnd) throw new RangeError('lengths do not add up')
  return {
    at,
    keyName: owner.name,
    algorithm: algorithm.name,
    time: bytes.subarray(algorithm.end, algorithm.end + 6),
    fudgeS: bytes.readUInt16BE(algorithm.end + 6),
    mac: bytes.subarray(macAt, idAt),
    originalId: bytes.readUInt16BE(idAt),
    error: bytes.readUInt16BE(idAt + 2),
    other: bytes.subarray(otherAt, dataEnd),
  }
}

/** A name with compression (RFC 1035 section 4.1.4): pointers lead backwards only, so it ends. */
function readName(bytes: Buffer, start: number): { readonly name: string; readonly end: number } {
  const labels: string[] = []
  let end: number | null = null
  let bound = start
  for (let at = start; ; ) {
    const length = bytes.readUInt8(at)
    if (length === 0) return { name: plainName(labels.join('.')), end: end ?? at + 1 }
    if (length >= 0xc0) {
      const target = bytes.readUInt16BE(at) & 0x3fff
      if (target >= bound) throw new RangeError('a pointer that does not lead backwards')
      end ??= at + 2
      bound = target
      at = target
    } else {
      if (length > 63 || at + 1 + length > bytes.length) throw new RangeError('a label that is too long')
      labels.push(bytes.toString('latin1', at + 1, at + 1 + length))
      at += 1 + length
    }
  }
}

/** RFC 8945 section 4.3.3. */
function tsigVariables(
  key: TsigKey,
  { time, fudgeS: fudge, error, other }: Pick<TsigRecord, 'time' | 'fudgeS' | 'error' | 'other'>,
): Buffer {
  return Buffer.concat([
    encodeName(key.name),
    uint16(anyClass),
    Buffer.alloc(4),
    encodeName(key.algorithm),
    time,
    uint16(fudge),
    uint16(error),
    uint16(other.length),
    other,
  ])
}

function hmac(key: TsigKey, parts: readonly Buffer[]): Buffer {
  const made = createHmac(tsigAlgorithms[key.algorithm], key.secret.reveal())
  for (const part of parts) made.update(part)
  return made.digest()
}

function uint16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function uint48(value: number): Buffer {
  const bytes = Buffer.alloc(6)
  bytes.writeUIntBE(value, 0, 6)
  return bytes
}
