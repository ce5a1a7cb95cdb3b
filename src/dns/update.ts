import type { Clock } from '../base/clock.ts'
import { fail, OnecertError, quote } from '../base/errors.ts'
import { instant } from '../pki/text.ts'
import { addressBytes } from './address.ts'
import { type ExchangeLimits, endpointOf, exchange, type NameServer, newId } from './exchange.ts'
import {
  answers,
  decodeAnswer,
  encodeName,
  encodeQuery,
  type Message,
  plainName,
  type Query,
  rcodeName,
  sameName,
} from './message.ts'
import { signMessage, type TsigKey, type TsigVerdict, verifyMessage } from './tsig.ts'

/** Where updates go, and with which key. */
export interface UpdateTarget {
  readonly server: NameServer
  readonly key: TsigKey
  readonly clock: Clock
  readonly timeoutMs: number
}

export type WrittenType = 'A' | 'AAAA' | 'TXT'

/** One record. */
export interface WrittenRecord {
  /** Absolute, no trailing dot. */
  readonly name: string
  readonly type: WrittenType
  /** An IP address, or the text. */
  readonly value: string
  readonly ttlS: number
}

/** All records of one name and type; none: there is no such set. */
export interface RecordSet {
  readonly name: string
  readonly type: WrittenType | 'CNAME'
  readonly values: readonly string[]
}

export interface Change {
  readonly zone: string
  readonly act: 'add' | 'remove'
  readonly record: WrittenRecord
  /** Sets that have to be just so, else nothing is changed (RFC 2136 section 2.4). Aliases: only that there is none. */
  readonly provided?: readonly RecordSet[]
}

const opcodeUpdate = 5
const soaType = 6
const typeNumbers = { A: 1, CNAME: 5, TXT: 16, AAAA: 28 } as const
const inClass = 1
const noneClass = 254
const stringBytesMax = 255
const refusedRcode = 5
const servfailRcode = 2
const nxdomainRcode = 3
const notAsProvided = ['NXDOMAIN', 'YXDOMAIN', 'YXRRSET', 'NXRRSET']

/**
 * One change by UPDATE (RFC 2136), signed by TSIG. Adding what is there and removing what is not are no errors (sections
 * 3.4.2.2 and 3.4.2.4), so a change whose answer was lost may be sent again.
 * @returns false: a set is not as provided, and nothing was changed
 * @throws OnecertError DNS_REFUSED, DNS_TSIG_BAD, DNS_UNREACHABLE
 */
export async function sendUpdate(change: Change, target: UpdateTarget, signal: AbortSignal): Promise<boolean> {
  const id = newId()
  const response = await signedExchange(encodeUpdate(id, change), target, signal)
  const rcode = response.readUInt16BE(2) & 0xf
  // Which name exists or not is asked by prerequisites alone (RFC 2136 section 3.2).
  if (change.provided && notAsProvided.includes(rcodeName(rcode))) return false
  const { type, name } = change.record
  if (rcode !== 0) refuse(rcode, target, `the ${type} record of ${name} in the zone ${change.zone}`, type)
  return true
}

/**
 * What the update server itself has for a name, aliases too; asked with the key, because a server may show its zones to that
 * only.
 * @throws OnecertError DNS_REFUSED, DNS_TSIG_BAD, DNS_UNREACHABLE, DNS_ANSWER_BAD
 */
export async function recordsAtServer(
  name: string,
  type: WrittenType,
  target: UpdateTarget,
  signal: AbortSignal,
): Promise<Message> {
  const query: Query = { id: newId(), name, type, recursive: false }
  const from = endpointOf(target.server)
  const answer = decodeAnswer(await signedExchange(encodeQuery(query), target, signal), query, from)
  if (answer?.authoritative && (answer.rcode === 0 || answer.rcode === nxdomainRcode)) return answer
  return fail('DNS_REFUSED', {
    what: `the name server ${from} does not tell the ${type} records of ${quote(name)}`,
    fact: `it says ${rcodeName(answer?.rcode ?? refusedRcode)}${answer && !answer.authoritative ? ', and does not speak for the zone' : ''}`,
    state: 'nothing was changed',
    next: 'give the address of the primary name server of the zone',
  })
}

/**
 * The zone of a name as the update server has it; asked with the key, because a server may show its zones to that only.
 * @throws OnecertError DNS_ZONE_NOT_FOUND, DNS_TSIG_BAD, DNS_UNREACHABLE, DNS_ANSWER_BAD
 */
export async function zoneAtServer(name: string, target: UpdateTarget, signal: AbortSignal): Promise<string> {
  const query: Query = { id: newId(), name, type: 'SOA', recursive: false }
  const from = endpointOf(target.server)
  const answer = decodeAnswer(await signedExchange(encodeQuery(query), target, signal), query, from)
  // RFC 2308 section 2: the SOA record is the answer, or comes with the negative one.
  const soa = [...(answer?.answers ?? []), ...(answer?.authorities ?? [])].find(({ type }) => type === 'SOA')
  const zone = plainName(soa?.name ?? '')
  if (answer?.authoritative && soa && (sameName(name, zone) || plainName(name).endsWith(`.${zone}`))) return zone
  return fail('DNS_ZONE_NOT_FOUND', {
    what: `the name server ${from} has no zone for ${quote(name)}`,
    fact: `it says ${rcodeName(answer?.rcode ?? refusedRcode)}`,
    state: 'nothing was written',
    next: 'give the address of the primary name server of the zone, or name the zone',
  })
}

/** RFC 2136 section 2: header, zone, prerequisites, one update. */
function encodeUpdate(id: number, { zone, act, record, provided = [] }: Change): Buffer {
  const prerequisites = provided.flatMap(encodePrerequisites)
  return Buffer.concat([
    uint16s(id, opcodeUpdate << 11, 1, prerequisites.length, 1, 0),
    encodeName(zone),
    uint16s(soaType, inClass),
    ...prerequisites,
    // RFC 2136 section 2.5.4: a removal has class NONE and TTL 0.
    act === 'add'
      ? encodeRecord(record.name, record.type, inClass, record.ttlS, dataOf(record.type, record.value))
      : encodeRecord(record.name, record.type, noneClass, 0, dataOf(record.type, record.value)),
  ])
}

/** RFC 2136 sections 2.4.2 and 2.4.3: a set is these values, or is not there. */
function encodePrerequisites({ name, type, values }: RecordSet): Buffer[] {
  if (values.length === 0 || type === 'CNAME') return [encodeRecord(name, type, noneClass, 0, Buffer.alloc(0))]
  return values.map((value) => encodeRecord(name, type, inClass, 0, dataOf(type, value)))
}

function encodeRecord(name: string, type: RecordSet['type'], kind: number, ttlS: number, data: Buffer): Buffer {
  const ttl = Buffer.alloc(4)
  ttl.writeUInt32BE(ttlS)
  return Buffer.concat([encodeName(name), uint16s(typeNumbers[type], kind), ttl, uint16s(data.length), data])
}

function dataOf(type: WrittenType, value: string): Buffer {
  return type === 'TXT' ? txtData(value) : addressBytes(value)
}

/** RFC 1035 section 3.3.14. */
function txtData(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1')
  const strings: Buffer[] = []
  for (let at = 0; at < bytes.length || at === 0; at += stringBytesMax) {
    const part = bytes.subarray(at, at + stringBytesMax)
    strings.push(Buffer.of(part.length), part)
  }
  return Buffer.concat(strings)
}

function uint16s(...values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 2)
  for (const [at, value] of values.entries()) bytes.writeUInt16BE(value, at * 2)
  return bytes
}

/** The response, its signature verified. */
async function signedExchange(message: Buffer, target: UpdateTarget, signal: AbortSignal): Promise<Buffer> {
  const { server, key, clock, timeoutMs } = target
  const { bytes, mac } = signMessage(message, key, { nowMs: clock.nowMs() })
  const limits: ExchangeLimits = { timeoutMs, signal }
  let doubt: string | null = null
  const accept = (response: Buffer): Buffer | null => {
    if (!answers(response, message.readUInt16BE(0))) return null
    const verdict = verifyMessage(response, key, { requestMac: mac, nowMs: clock.nowMs() })
    if (verdict.kind === 'good') return response
    const rcode = response.readUInt16BE(2) & 0xf
    // An unsigned refusal may be forged, but believing it does no more harm than a lost answer.
    if (verdict.kind === 'unsigned' && rcode !== 0) refuse(rcode, target, 'a signed request')
    if (verdict.kind === 'clock' || verdict.kind === 'refused') tsigRefused(verdict, target)
    // RFC 8945 section 5.4: anybody may send a bad one, so the good one is waited for.
    doubt = verdict.kind === 'bad' ? verdict.reason : 'it is not signed'
    return null
  }
  try {
    return await exchange(server, bytes, accept, limits)
  } catch (error) {
    if (doubt === null || !(error instanceof OnecertError) || error.code !== 'DNS_UNREACHABLE') throw error
    return fail('DNS_TSIG_BAD', {
      what: `the answer of the name server ${endpointOf(server)} cannot be trusted`,
      fact: doubt,
      state: 'whether the record was changed is not certain; doing it again does no harm',
      next: 'check what stands between here and the name server, and that both have the same key',
      cause: error,
    })
  }
}

function tsigRefused(
  verdict: Extract<TsigVerdict, { kind: 'clock' | 'refused' }>,
  { server, key, clock }: UpdateTarget,
): never {
  const what = `the name server ${endpointOf(server)} refuses the TSIG key ${quote(key.name)}`
  const state = 'nothing was changed'
  if (verdict.kind === 'clock') {
    const ourMs = clock.nowMs()
    const apartS = Math.round(Math.abs(verdict.serverMs - ourMs) / 1000)
    fail('DNS_TSIG_BAD', {
      what: `${what}: the clocks differ`,
      fact: `BADTIME: here it is ${instant(ourMs)}, there ${instant(verdict.serverMs)}: ${apartS} s apart`,
      state,
      next: 'set the clock that is wrong (timedatectl)',
    })
  }
  fail('DNS_TSIG_BAD', {
    what,
    fact:
      verdict.error === 'BADKEY'
        ? `BADKEY: it has no key of this name with ${key.algorithm}`
        : 'BADSIG: its key of this name has another secret',
    state,
    next: 'compare name, algorithm and secret with the key statement of the name server',
  })
}

const refusals: Readonly<Record<string, { readonly fact: string; readonly next: string }>> = {
  REFUSED: {
    fact: 'this key may not change this name',
    next: 'let the key change TYPE records there (BIND: update-policy or allow-update)',
  },
  NOTAUTH: { fact: 'it is not the primary of this zone', next: 'give the address of the primary name server' },
  NOTZONE: { fact: 'the name is not in this zone', next: 'correct the zone, or leave it out: it is found then' },
  NOTIMP: { fact: 'it takes no dynamic updates', next: 'switch them on there, or use another way to write records' },
}

function refuse(rcode: number, { server }: UpdateTarget, subject: string, type: WrittenType = 'TXT'): never {
  const name = rcodeName(rcode)
  const { fact, next } = refusals[name] ?? { fact: null, next: 'look into the log of the name server' }
  fail(rcode === servfailRcode ? 'DNS_UNREACHABLE' : 'DNS_REFUSED', {
    what: `the name server ${endpointOf(server)} refuses ${subject}`,
    fact: fact === null ? name : `${name}: ${fact}`,
    state: 'nothing was changed',
    next: next.replace('TYPE', type),
  })
}
