import type { X509Certificate } from 'node:crypto'
import type { Duplex } from 'node:stream'
import {
  type ConnectionOptions,
  connect,
  createSecureContext,
  type SecureContext,
  type SecureContextOptions,
  type TLSSocket,
} from 'node:tls'
import type { KeyKind } from '../fleet/fleet.ts'
import { contact, type HandshakeOptions } from './contact.ts'
import { type Endpoint, serverNameOf } from './endpoint.ts'
import { explain } from './failure.ts'
import type { Observed } from './served.ts'
import { malformed } from './tls/flaw.ts'
import { fingerprintOf, leafOf } from './tls/leaf.ts'

const chainMax = 10

/** As in tls/signatures.ts. */
const sigalgs: Record<KeyKind, string> = {
  ecdsa: 'ecdsa_secp256r1_sha256:ecdsa_secp384r1_sha384:ecdsa_secp521r1_sha512',
  rsa: 'rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:rsa_pkcs1_sha256:rsa_pkcs1_sha384:rsa_pkcs1_sha512',
}

const groups = 'X25519:prime256v1:X448:secp384r1:secp521r1:ffdhe2048:ffdhe3072:ffdhe4096:ffdhe6144:ffdhe8192'
/** RFC 7027. A curve has to be offered also for a key on it to be shown. Not all builds of OpenSSL have them (`?`). */
const brainpool = '?brainpoolP256r1:?brainpoolP384r1:?brainpoolP512r1'
/** A server that asks for a post-quantum key share gets it in a second hello. OpenSSL before 3.5 has none. */
const ecdhCurve = /^3\.[0-4]\./.test(process.versions.openssl)
  ? groups
  : `${groups}:X25519MLKEM768:SecP256r1MLKEM768:SecP384r1MLKEM1024:${brainpool}`

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

type Tls = Pick<ConnectionOptions, 'secureContext' | 'session'>

/**
 * A whole handshake by node:tls and what `read` makes of it, where a session is wanted and not only the proof. The connection
 * is closed then. What `read` waits for is within the time limit.
 * @throws OnecertError as `handshake` does
 */
export async function meet<T>(
  endpoint: Endpoint,
  options: HandshakeOptions,
  tls: Tls,
  read: (socket: TLSSocket) => T | Promise<T>,
): Promise<T> {
  const startedMs = performance.now()
  try {
    return await contact<T>(endpoint, options, startedMs + options.timeoutMs, 'stream', ({ stream }, done, refuse) =>
      greetByNode(stream, endpoint, tls, read, done, refuse),
    )
  } catch (error) {
    options.signal?.throwIfAborted()
    throw explain(error, endpoint, Math.round(performance.now() - startedMs))
  }
}

/** The same over a stream on which TLS may begin. */
export function greetByNode<T>(
  stream: Duplex,
  endpoint: Endpoint,
  tls: Tls,
  read: (socket: TLSSocket) => T | Promise<T>,
  done: (result: T) => void,
  refuse: (error: unknown) => void,
): void {
  const servername = serverNameOf(endpoint) ?? ''
  const socket = connect({ socket: stream, servername, rejectUnauthorized: false, ...tls })
  socket.on('error', refuse).on('close', () => refuse({ code: 'ECONNRESET' }))
  socket.on('secureConnect', () => {
    const reading = async () => read(socket)
    reading().then(done, refuse)
  })
}

/** @param wayReason why it is node:tls @throws TlsFlaw */
export function readObserved(socket: TLSSocket, wayReason: string): Observed {
  const leaf = socket.getPeerX509Certificate()
  if (!leaf) return malformed('the server served no certificate')
  const certificates = certificatesFrom(leaf)
  const { notAfterMs, subject, spki } = leafOf(leaf, leaf.publicKey)
  return {
    chain: certificates.map(fingerprintOf),
    certificates,
    notAfterMs,
    subject,
    spki,
    way: 'node-tls',
    wayReason,
    version: socket.getProtocol() ?? '',
    cipher: socket.getCipher().standardName,
    group: groupOf(socket),
    alpn: socket.alpnProtocol || null,
    ocspStaple: null,
    scts: null,
  }
}

/** DER. node:tls tells no other order than that of the issuers. */
function certificatesFrom(leaf: X509Certificate): Buffer[] {
  const certificates: Buffer[] = []
  for (let next: X509Certificate | undefined = leaf; next && certificates.length < chainMax; ) {
    const { raw, issuerCertificate }: X509Certificate = next
    if (certificates.some((each) => each.equals(raw))) break
    certificates.push(raw)
    next = issuerCertificate
  }
  return certificates
}

const curveNames: Readonly<Record<string, string>> = { prime256v1: 'P-256', secp384r1: 'P-384', secp521r1: 'P-521' }

function groupOf(socket: TLSSocket): string | null {
  const info = socket.getEphemeralKeyInfo()
  if (info === null || !('type' in info)) return null
  if (info.type === 'DH') return `DHE-${info.size}`
  return 'name' in info && info.name !== undefined ? (curveNames[info.name] ?? info.name) : null
}
