import type { X509Certificate } from 'node:crypto'
import { connect as connectTcp, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls'
import { fail, OnecertError, quote } from '../base/errors.ts'
import type { KeyKind } from '../fleet/fleet.ts'
import { spkiOf } from '../pki/key.ts'
import { type Endpoint, endpointText, probedName } from './endpoint.ts'
import { beforeTls } from './preamble.ts'
import type { Served } from './served.ts'

export interface HandshakeOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
  /** A stream that leads to the endpoint already, such as a forward through the server. */
  readonly stream?: Duplex
}

const chainMax = 10

/** A server that has certificates of both kinds shows the one that goes with these (RFC 8446 section 4.4.2.2). */
const sigalgs: Record<KeyKind, string> = {
  ecdsa: 'ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512',
  rsa: 'rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512',
}

/**
 * The key share sent is the first one. A look sends no secret, so that is not the post-quantum one, which a quarter of its
 * cost would go into; a server that asks for it gets it in a second hello. OpenSSL before 3.5 has none.
 */
const groups = 'X25519:prime256v1:X448:secp384r1:secp521r1:ffdhe2048:ffdhe3072'
const ecdhCurve = /^3\.[0-4]\./.test(process.versions.openssl)
  ? groups
  : `${groups}:X25519MLKEM768:SecP256r1MLKEM768:SecP384r1MLKEM1024`

type Protocol = NonNullable<SecureContextOptions['minVersion']>

const contexts = new Map<string, SecureContext>()

/**
 * No roots: else OpenSSL would complete the chain with certificates that were not served. Made once: it costs a
 * millisecond.
 * @param only absent: TLS 1.2 or newer
 */
export function trustingNothing(keyKind: KeyKind | undefined, only?: Protocol): SecureContext {
  const name = `${keyKind} ${only}`
  const known = contexts.get(name)
  if (known) return known
  const kind = keyKind === undefined ? {} : { sigalgs: sigalgs[keyKind] }
  const version = only === undefined ? {} : { maxVersion: only }
  const context = createSecureContext({ minVersion: only ?? 'TLSv1.2', ca: [], ecdhCurve, ...kind, ...version })
  contexts.set(name, context)
  return context
}

/**
 * One full TLS handshake (1.2 or 1.3, never resumed): that it completes proves that the server holds the private key.
 * Nothing is trusted and nothing is fetched: judging what was served is the caller's.
 * @throws OnecertError PROBE_REFUSED, PROBE_TIMEOUT, PROBE_NO_STARTTLS, PROBE_NOT_TLS, PROBE_FAILED
 */
export function handshake(endpoint: Endpoint, options: HandshakeOptions): Promise<Served> {
  const tls = { secureContext: trustingNothing(endpoint.keyKind) }
  return meet(endpoint, options, tls, (socket) => readServed(socket, endpoint))
}

/**
 * A TLS handshake, and what `read` makes of it; the connection is closed then. What `read` waits for is within the time
 * limit.
 * @throws OnecertError as {@link handshake}
 */
export function meet<T>(
  endpoint: Endpoint,
  { timeoutMs, signal, stream }: HandshakeOptions,
  tls: Pick<ConnectionOptions, 'secureContext' | 'session'>,
  read: (socket: TLSSocket) => T | Promise<T>,
): Promise<T> {
  const started = performance.now()
  return new Promise((resolve, reject) => {
    const carrier = stream ?? connectTcp({ host: endpoint.address, port: endpoint.port })
    let ended = false
    const finish = (settle: () => void) => {
      if (ended) return
      ended = true
      clearTimeout(timer)
      signal?.removeEventListener('abort', abort)
      carrier.destroy()
      settle()
    }
    const refuse = (error: unknown) =>
      finish(() => reject(explain(error, endpoint, Math.round(performance.now() - started))))
    const abort = () => finish(() => reject(signal?.reason))
    const timer = setTimeout(() => refuse({ code: 'ETIMEDOUT' }), timeoutMs)
    signal?.addEventListener('abort', abort, { once: true })
    carrier.on('error', refuse)
    carrier.on('close', () => refuse({ code: 'ECONNRESET' }))
    const greet = () => {
      const socket = connect({
        socket: carrier,
        servername: probedName(endpoint.name),
        rejectUnauthorized: false,
        ...tls,
      })
      socket.on('error', refuse)
      socket.on('close', () => refuse({ code: 'ECONNRESET' }))
      socket.on('secureConnect', () => {
        const reading = async () => read(socket)
        reading().then((result) => finish(() => resolve(result)), refuse)
      })
    }
    const begin = () => beforeTls(carrier, endpoint).then(() => ended || greet(), refuse)
    if (carrier instanceof Socket && carrier.connecting) carrier.once('connect', begin)
    else begin()
  })
}

function readServed(socket: TLSSocket, endpoint: Endpoint): Served {
  const leaf = socket.getPeerX509Certificate()
  if (!leaf) fail('PROBE_FAILED', { what: `${endpointText(endpoint)} served no certificate` })
  const chain: string[] = []
  const certificates: Uint8Array[] = []
  for (let next: X509Certificate | undefined = leaf; next && chain.length < chainMax; next = next.issuerCertificate) {
    const fingerprint = next.fingerprint256.replaceAll(':', '').toLowerCase()
    if (chain.includes(fingerprint)) break
    chain.push(fingerprint)
    certificates.push(next.raw)
  }
  const [, name = ''] = /^CN=(.*)$/m.exec(leaf.subject) ?? []
  return {
    chain,
    certificates,
    notAfterMs: Date.parse(leaf.validTo),
    subject: quote(name),
    spki: spkiOf(leaf.publicKey),
  }
}

function explain(error: unknown, endpoint: Endpoint, elapsedMs: number): OnecertError {
  if (error instanceof OnecertError) return error
  const { code = '', message = '' } = error as { code?: string; message?: string }
  const where = endpointText(endpoint)
  if (code === 'ECONNREFUSED') {
    return new OnecertError('PROBE_REFUSED', { what: `${where} refuses connections`, fact: 'nothing listens there' })
  }
  if (['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code)) {
    return new OnecertError('PROBE_TIMEOUT', {
      what: `${where} does not answer`,
      fact: `${code} after ${elapsedMs} ms`,
    })
  }
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG') {
    return new OnecertError('PROBE_NOT_TLS', { what: `${where} does not speak TLS`, fact: quote(message) })
  }
  return new OnecertError('PROBE_FAILED', {
    what: `the handshake with ${where} failed`,
    fact: quote(code ? `${code} ${message}` : message, 160),
  })
}
