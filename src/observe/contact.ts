import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { fail, systemCode } from '../base/errors.ts'
import { bareCarrier, type Carrier, plainCarrier } from './carrier.ts'
import { type Endpoint, endpointText } from './endpoint.ts'
import { beforeTls } from './preamble.ts'
import { TlsFlaw } from './tls/flaw.ts'

export interface HandshakeOptions {
  /** Of the whole: the connection, what comes before TLS, the handshake, and a second one where it comes to that. */
  readonly timeoutMs: number
  readonly signal?: AbortSignal
  /** Opens a stream to the endpoint, such as a forward through its server; null: there is none. Default: TCP from here. */
  readonly open?: () => Promise<Duplex | null>
}

/** Begins TLS, and settles once: with what was made of it, or with why not. What it throws is a refusal too. */
export type Greet<T> = (carrier: Carrier, done: (result: T) => void, refuse: (error: unknown) => void) => void

/**
 * One connection up to where TLS may begin, and what `greet` makes of it; the connection is gone at its end.
 * @param untilMs by performance.now()
 * @param reads how it reads: pieces only, or the stream as such
 * @throws what `greet` refuses with; the reason of the signal; TlsFlaw `closed`; OnecertError PROBE_NO_STARTTLS, PROBE_FAILED;
 * errors of the socket, and ETIMEDOUT, by their code
 */
export async function contact<T>(
  endpoint: Endpoint,
  { signal, open }: HandshakeOptions,
  untilMs: number,
  reads: 'pieces' | 'stream',
  greet: Greet<T>,
): Promise<T> {
  const given = open ? await open() : undefined
  if (given === null) fail('PROBE_FAILED', { what: `there is no way to ${endpointText(endpoint)} through its server` })
  const bare = given === undefined && endpoint.starttls === undefined && reads === 'pieces'
  const carrier = bare ? bareCarrier(endpoint) : plainCarrier(endpoint, given)
  const { stream } = carrier
  return new Promise((resolve, reject) => {
    let ended = false
    const finish = (settle: () => void) => {
      if (ended) return
      ended = true
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      stream.destroy()
      settle()
    }
    const done = (result: T) => finish(() => resolve(result))
    const refuse = (error: unknown) => finish(() => reject(asFlaw(error, stream)))
    const abort = () => refuse(signal?.reason)
    const timer = setTimeout(() => refuse({ code: 'ETIMEDOUT' }), Math.max(0, untilMs - performance.now()))
    signal?.addEventListener('abort', abort, { once: true })
    stream.on('error', refuse).on('close', () => refuse({ code: 'ECONNRESET' }))
    const begin = () => {
      if (ended) return
      try {
        greet(carrier, done, refuse)
      } catch (error) {
        refuse(error)
      }
    }
    const prepare = () => {
      if (endpoint.starttls ?? endpoint.proxyProtocol) beforeTls(stream, endpoint).then(begin, refuse)
      else begin()
    }
    if (signal?.aborted) abort()
    else if (stream instanceof Socket && stream.connecting) stream.once('connect', prepare)
    else prepare()
  })
}

/** A server that can do nothing of what was offered may end the connection without a word. */
function asFlaw(error: unknown, stream: Duplex): unknown {
  const code = systemCode(error)
  if (!['ECONNRESET', 'EPIPE'].includes(code)) return error
  const silent = stream instanceof Socket && !stream.connecting && stream.bytesRead === 0
  return new TlsFlaw('closed', `the server ended the connection (${code})`, silent)
}
