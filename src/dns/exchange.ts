import { randomInt } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, isIPv6 } from 'node:net'
import { fail, OnecertError } from '../base/errors.ts'
import { bracketed } from '../pki/names.ts'
import {
  answers,
  decodeAnswer,
  encodeQuery,
  isTruncated,
  type Message,
  type Query,
  type RecordType,
} from './message.ts'

/** A name server: an IP address and a port. */
export interface NameServer {
  readonly address: string
  readonly port: number
}

export interface ExchangeLimits {
  /** Of each try: one over UDP, then one over TCP. */
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** What cannot be sent in one datagram everywhere goes over TCP (RFC 1035 section 4.2.1). */
const datagramBytesMax = 512

/** Of each try. A resolver that has to ask others first takes its time. */
export const exchangeTimeoutMs = 3_000

export function newId(): number {
  return randomInt(0x1_0000)
}

export function endpointOf({ address, port }: NameServer): string {
  return `${bracketed(address)}:${port}`
}

/**
 * One question to one server: over UDP, and over TCP where the answer is cut or does not come.
 * @throws OnecertError DNS_UNREACHABLE, DNS_ANSWER_BAD; or the reason of the signal
 */
export function ask(
  server: NameServer,
  { name, type, recursive }: { readonly name: string; readonly type: RecordType; readonly recursive: boolean },
  limits: ExchangeLimits,
): Promise<Message> {
  const query: Query = { id: newId(), name, type, recursive }
  const accept = (bytes: Buffer) => decodeAnswer(bytes, query, endpointOf(server))
  return exchange(server, encodeQuery(query), accept, limits)
}

/**
 * Sends a request and gives the first response that `accept` takes; null from it means: not for us, wait on. What it
 * throws ends the exchange.
 */
export async function exchange<T>(
  server: NameServer,
  request: Buffer,
  accept: (bytes: Buffer) => T | null,
  limits: ExchangeLimits,
): Promise<T> {
  const failures: string[] = []
  if (request.length <= datagramBytesMax) {
    const answer = await overUdp(server, request, accept, limits).catch(noteFailure('UDP', failures))
    if (answer !== undefined) return answer
  }
  const answer = await overTcp(server, request, accept, limits).catch(noteFailure('TCP', failures))
  if (answer !== undefined) return answer
  return fail('DNS_UNREACHABLE', {
    what: `the name server ${endpointOf(server)} does not answer`,
    fact: failures.join(', '),
    next: `check that it runs, and that UDP and TCP port ${server.port} are open from here`,
  })
}

/** Aborts and errors of the catalogue pass; what the network did is kept for the report. */
function noteFailure(transport: string, failures: string[]): (error: unknown) => undefined {
  return (error) => {
    if (!(error instanceof TransportFailure)) throw error
    failures.push(`${transport}: ${error.message}`)
  }
}

class TransportFailure extends Error {}

/** Undefined: the answer is cut, the whole one comes over TCP. */
function overUdp<T>(
  server: NameServer,
  request: Buffer,
  accept: (bytes: Buffer) => T | null,
  limits: ExchangeLimits,
): Promise<T | undefined> {
  const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4')
  return settle<T | undefined>(
    limits,
    () => socket.close(),
    (resolve, reject) => {
      const failed = (error: NodeJS.ErrnoException) => reject(new TransportFailure(error.code ?? error.message))
      socket.on('error', failed)
      // Connected: the kernel drops what others send, and tells that nobody listens there.
      socket.connect(server.port, server.address, (...[error]: readonly NodeJS.ErrnoException[]) => {
        if (error) failed(error)
        else socket.send(request)
      })
      socket.on('message', (bytes) =>
        attempt(reject, () => {
          // Read no further: it may end in the middle of a record (RFC 2181 section 9).
          if (isTruncated(bytes) && answers(bytes, request.readUInt16BE(0))) return resolve(undefined)
          const answer = accept(bytes)
          if (answer !== null) resolve(answer)
        }),
      )
    },
  )
}

function overTcp<T>(
  server: NameServer,
  request: Buffer,
  accept: (bytes: Buffer) => T | null,
  limits: ExchangeLimits,
): Promise<T> {
  const socket = connect(server.port, server.address)
  // RFC 1035 section 4.2.2: two bytes of length before each message.
  const length = Buffer.alloc(2)
  length.writeUInt16BE(request.length)
  return settle<T>(
    limits,
    () => socket.destroy(),
    (resolve, reject) => {
      let received = Buffer.alloc(0)
      socket.on('error', (error: NodeJS.ErrnoException) => reject(new TransportFailure(error.code ?? error.message)))
      socket.on('close', () => reject(new TransportFailure('closed without an answer')))
      socket.on('data', (bytes: Buffer) =>
        attempt(reject, () => {
          received = Buffer.concat([received, bytes])
          if (received.length < 2) return
          const end = 2 + received.readUInt16BE(0)
          if (received.length < end) return
          const answer = accept(received.subarray(2, end))
          if (answer === null) reject(new TransportFailure('an answer to something else'))
          else resolve(answer)
        }),
      )
      socket.on('connect', () => socket.write(Buffer.concat([length, request])))
    },
  )
}

function settle<T>(
  { timeoutMs, signal }: ExchangeLimits,
  close: () => void,
  work: (resolve: (value: T) => void, reject: (reason: unknown) => void) => void,
): Promise<T> {
  let end = () => {}
  return new Promise<T>((resolve, reject) => {
    const abort = () => reject(signal.reason)
    const timer = setTimeout(() => reject(new TransportFailure(`nothing within ${timeoutMs} ms`)), timeoutMs)
    signal.addEventListener('abort', abort, { once: true })
    end = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', abort)
      close()
    }
    if (signal.aborted) return abort()
    work(resolve, reject)
  }).finally(() => end())
}

/** What is thrown in a listener would end the process. */
function attempt(reject: (reason: unknown) => void, work: () => void): void {
  try {
    work()
  } catch (error) {
    reject(error)
  }
}

/** The measured fact of a failed exchange, for a report over several servers. */
export function failureFact(error: unknown): string {
  if (!(error instanceof OnecertError)) throw error
  return error.failure.fact ?? error.failure.what
}
