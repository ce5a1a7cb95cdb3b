import { type Answer, decode, encode } from 'dns-packet'
import { fail, quote, textOf } from '../base/errors.ts'

export type RecordType = 'A' | 'AAAA' | 'CAA' | 'CNAME' | 'NS' | 'SOA' | 'TLSA' | 'TXT'

/** An answer of a name server, as far as we read it. */
export interface Message {
  readonly id: number
  /** 0 is NOERROR, 3 is NXDOMAIN; {@link rcodeName} names them. */
  readonly rcode: number
  /** AA: it speaks for the zone itself. */
  readonly authoritative: boolean
  /** TC: the rest comes over TCP. */
  readonly truncated: boolean
  readonly answers: readonly Answer[]
  readonly authorities: readonly Answer[]
}

const responseBit = 0x8000
const authoritativeBit = 0x0400
const truncatedBit = 0x0200
const recursionDesiredBit = 0x0100
const headerBytes = 12
/** RFC 1035 section 2.3.4. */
const labelBytesMax = 63
const nameBytesMax = 255

/** RFC 1035 section 4.1.1, RFC 2136 section 2.2. */
const rcodes = [
  'NOERROR',
  'FORMERR',
  'SERVFAIL',
  'NXDOMAIN',
  'NOTIMP',
  'REFUSED',
  'YXDOMAIN',
  'YXRRSET',
  'NXRRSET',
  'NOTAUTH',
  'NOTZONE',
]

export function rcodeName(rcode: number): string {
  return rcodes[rcode] ?? `RCODE ${rcode}`
}

export interface Query {
  readonly id: number
  readonly name: string
  readonly type: RecordType
  /** Whether the server may ask others: of a resolver yes, of an authoritative server no. */
  readonly recursive: boolean
}

/** Without EDNS: what is longer than 512 bytes comes over TCP, which every server has (RFC 7766). */
export function encodeQuery({ id, name, type, recursive }: Query): Buffer {
  encodeName(name)
  const questions = [{ name, type, class: 'IN' as const }]
  return encode({ id, type: 'query', flags: recursive ? recursionDesiredBit : 0, questions })
}

/**
 * The answer to a query, or null where these bytes answer something else (RFC 5452 section 9.1: the ID and the question
 * have to be ours).
 * @throws OnecertError DNS_ANSWER_BAD
 */
export function decodeAnswer(bytes: Buffer, query: Query, from: string): Message | null {
  if (!answers(bytes, query.id)) return null
  try {
    const packet = decode(bytes)
    const flags = bytes.readUInt16BE(2)
    const rcode = flags & 0xf
    const [question] = packet.questions ?? []
    // A server that cannot read the question, or will not, may leave it out.
    if (question === undefined ? rcode === 0 : !sameName(question.name, query.name) || question.type !== query.type) {
      return null
    }
    return {
      id: query.id,
      rcode,
      authoritative: (flags & authoritativeBit) !== 0,
      truncated: isTruncated(bytes),
      answers: packet.answers ?? [],
      authorities: packet.authorities ?? [],
    }
  } catch (error) {
    return answerBad(from, `${bytes.length} bytes: ${quote(textOf(error))}`)
  }
}

/** Whether these bytes are a response with this ID. */
export function answers(bytes: Buffer, id: number): boolean {
  return (
    bytes.length >= headerBytes && bytes.readUInt16BE(0) === id && (bytes.readUInt16BE(2) & responseBit) === responseBit
  )
}

export function isTruncated(bytes: Buffer): boolean {
  return bytes.length >= headerBytes && (bytes.readUInt16BE(2) & truncatedBit) !== 0
}

function answerBad(from: string, fact: string): never {
  fail('DNS_ANSWER_BAD', {
    what: `the answer of the name server ${from} cannot be read`,
    fact,
    next: 'check that this address is a name server, and that nothing on the way changes DNS',
  })
}

/** Names are compared without case (RFC 4343) and without the last dot. */
export function sameName(left: string, right: string): boolean {
  return plainName(left) === plainName(right)
}

/** Lower case, no trailing dot; the root is the empty text. */
export function plainName(name: string): string {
  return name.replace(/\.$/, '').toLowerCase()
}

/** Itself, its parent, and so on up to the top-level domain. */
export function ancestors(name: string): string[] {
  const labels = plainName(name).split('.')
  return labels.map((_, at) => labels.slice(at).join('.')).filter((each) => each !== '')
}

/** A name without compression (RFC 1035 section 3.1), lower case: the canonical form that TSIG needs (RFC 4034 section 6.2). */
export function encodeName(name: string): Buffer {
  const labels = plainName(name)
    .split('.')
    .map((label) => Buffer.from(label, 'latin1'))
  const wellFormed = labels.every(({ length }) => length > 0 && length <= labelBytesMax)
  const bytes = Buffer.concat([...labels.flatMap((label) => [Buffer.of(label.length), label]), Buffer.of(0)])
  if (!wellFormed || bytes.length > nameBytesMax) {
    fail('NAME_INVALID', {
      what: `${quote(name)} is no name of the DNS`,
      fact: `labels have 1 to ${labelBytesMax} bytes, a name at most ${nameBytesMax - 2}`,
      next: 'correct the name',
    })
  }
  return bytes
}

/** The strings of a TXT record are one value (RFC 8555 section 8.4 lets a CA join them, as RFC 7208 section 3.3 does). */
export function txtValue(record: Answer): string | null {
  if (record.type !== 'TXT') return null
  const parts = Array.isArray(record.data) ? record.data : [record.data]
  return parts.map((part) => (typeof part === 'string' ? part : part.toString('latin1'))).join('')
}
