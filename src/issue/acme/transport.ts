import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { Agent, request } from 'node:https'
import { isIP } from 'node:net'
import { quote, systemCode } from '../../base/errors.ts'
import { programVersion } from '../../base/version.ts'
import { AddressRefused, isPublicAddress, publicLookup } from './public-address.ts'

export interface Outgoing {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly url: string
  /** JSON of a JWS. */
  readonly body?: string
  readonly accept?: string
}

export interface Answer {
  readonly url: string
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Uint8Array
}

/** No answer, or none that is taken. */
export class TransportFailure extends Error {
  readonly kind: 'address-refused' | 'untrusted' | 'too-large' | 'lost'
  /** The server may have got the request, and done what it asks for. */
  readonly mayHaveArrived: boolean

  constructor(kind: TransportFailure['kind'], message: string, mayHaveArrived: boolean, cause?: unknown) {
    super(message, { cause })
    this.kind = kind
    this.mayHaveArrived = mayHaveArrived
  }
}

export interface Transport {
  /** One request, no redirects. Rejects with a TransportFailure, or with the signal's reason. */
  send(outgoing: Outgoing, withinMs: number): Promise<Answer>
}

const answerBytesMax = 1024 * 1024
const requestTimeoutMs = 30_000
/**
 * Servers close idle connections when they like. A request that must not be repeated is not sent over one that has been
 * idle for long: nobody could say whether it arrived.
 */
const idleTimeoutMs = 4_000

/** HTTPS alone. `trust`: PEM of the roots of a private CA; without it, the public roots, and public addresses only. */
export function openTransport({ trust, signal }: { trust?: string; signal: AbortSignal }): Transport {
  const agent = new Agent({ keepAlive: true, timeout: idleTimeoutMs, ...(trust === undefined ? {} : { ca: trust }) })
  const headers = { 'User-Agent': `onecert/${programVersion()}` }

  const send: Transport['send'] = async (outgoing, withinMs) => {
    signal.throwIfAborted()
    const url = new URL(outgoing.url)
    if (trust === undefined) refuseLiteral(url)
    const timeoutMs = Math.max(1, Math.min(withinMs, requestTimeoutMs))
    const timeout = AbortSignal.timeout(timeoutMs)
    let mayHaveArrived = false
    try {
      return await new Promise((resolve, reject) => {
        const sent = request(url, {
          method: outgoing.method,
          agent,
          signal: AbortSignal.any([signal, timeout]),
          headers: {
            ...headers,
            ...(outgoing.accept === undefined ? {} : { Accept: outgoing.accept }),
            ...(outgoing.body === undefined ? {} : { 'Content-Type': 'application/jose+json' }),
          },
          ...(trust === undefined ? { lookup: publicLookup } : {}),
        })
        sent.once('socket', (socket) => {
          // Before the handshake is over, nothing of the request leaves.
          if (sent.reusedSocket) mayHaveArrived = true
          else socket.once('secureConnect', () => (mayHaveArrived = true))
        })
        sent.once('error', reject)
        sent.once('response', (incoming) => {
          bodyOf(incoming).then((body) => {
            resolve({ url: outgoing.url, status: incoming.statusCode ?? 0, headers: incoming.headers, body })
          }, reject)
        })
        sent.end(outgoing.body)
      })
    } catch (error) {
      signal.throwIfAborted()
      if (timeout.aborted) {
        throw new TransportFailure('lost', `no whole answer from ${url.host} in ${timeoutMs} ms`, mayHaveArrived, error)
      }
      throw failureOf(error, url, mayHaveArrived)
    }
  }
  return { send }
}

/** For an address in the URL no name is looked up. URL has brought `0x7f.1` and the like into the usual form. */
function refuseLiteral({ hostname }: URL): void {
  const address = hostname.replace(/^\[(.*)\]$/, '$1')
  if (isIP(address) !== 0 && !isPublicAddress(address)) {
    throw new TransportFailure('address-refused', `${address} is not a public address`, false)
  }
}

async function bodyOf(incoming: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  let bytes = 0
  // Leaving the loop by an error ends the connection.
  for await (const chunk of incoming as AsyncIterable<Uint8Array>) {
    bytes += chunk.length
    if (bytes > answerBytesMax) {
      throw new TransportFailure('too-large', `its answer is larger than ${answerBytesMax} bytes, the limit`, true)
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

/** Codes of OpenSSL's verification and of the check of the name, as Node gives them. */
const untrusted = /^(CERT_|CRL_|UNABLE_TO_|SELF_SIGNED_|DEPTH_ZERO_|INVALID_|HOSTNAME_MISMATCH|ERR_TLS_CERT_ALTNAME)/

function failureOf(error: unknown, { host }: URL, mayHaveArrived: boolean): TransportFailure {
  if (error instanceof TransportFailure) return error
  if (error instanceof AddressRefused) {
    return new TransportFailure('address-refused', `${host} leads to ${error.message}`, false, error)
  }
  const code = systemCode(error) || 'no code'
  const message = error instanceof Error ? error.message : ''
  const kind = untrusted.test(code) ? 'untrusted' : 'lost'
  return new TransportFailure(
    kind,
    `${host}: ${code}${message === '' ? '' : `, ${quote(message, 120)}`}`,
    mayHaveArrived,
    error,
  )
}

/** Media type without its parameters, lower case; empty where there is none. */
export function mediaType({ headers }: Answer): string {
  return (headers['content-type'] ?? '').split(';')[0]?.trim().toLowerCase() ?? ''
}

const secondMs = 1000

/** Retry-After (RFC 9110 section 10.2.3), seconds or a date, as a duration; null where there is none that can be read. */
export function retryAfterMs({ headers }: Pick<Answer, 'headers'>, nowMs: number): number | null {
  const text = headers['retry-after']?.trim() ?? ''
  if (/^\d{1,9}$/.test(text)) return Number(text) * secondMs
  const atMs = /^[A-Z][a-z]{2}, /.test(text) ? Date.parse(text) : Number.NaN
  return Number.isFinite(atMs) ? Math.max(0, atMs - nowMs) : null
}

/** URLs of the Link header fields (RFC 8288) with that relation, absolute; those that cannot be read are left out. */
export function linksOf({ headers, url }: Answer, relation: string): string[] {
  const fields = [headers.link ?? []].flat().join(', ')
  return [...fields.matchAll(/<([^<>]*)>([^<]*)/g)].flatMap(([, target = '', parameters = '']) => {
    const [, quoted, bare] = /;\s*rel\s*=\s*(?:"([^"]*)"|([^\s;,]+))/i.exec(parameters) ?? []
    const absolute = URL.parse(target, url)?.href
    return absolute !== undefined && (quoted ?? bare ?? '').split(' ').includes(relation) ? [absolute] : []
  })
}
