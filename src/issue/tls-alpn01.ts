import 'reflect-metadata'
import { createHash, webcrypto as crypto, KeyObject, type webcrypto } from 'node:crypto'
import { createSecureContext, createServer, type SecureContext, type Server } from 'node:tls'
import { cryptoProvider, Extension, SubjectAlternativeNameExtension, X509CertificateGenerator } from '@peculiar/x509'
import { type Clock, hourMs } from '../base/clock.ts'
import type { TlsAlpn01Settings } from '../fleet/fleet.ts'
import { listening } from './listening.ts'
import type { Solver, TokenChallenge } from './solver.ts'

cryptoProvider.set(crypto)

/** RFC 8737 section 6.2. */
const protocol = 'acme-tls/1'
/** id-pe-acmeIdentifier, RFC 8737 section 6.1. */
const acmeIdentifier = '1.3.6.1.5.5.7.1.31'
const lifetimeMs = hourMs

/**
 * tls-alpn-01 (RFC 8737), answered by ourselves: for names whose port 443 leads to this machine while a certificate is
 * issued. Close it at the end.
 */
export function tlsAlpn01(settings: TlsAlpn01Settings, { clock }: { readonly clock: Clock }): Solver & AsyncDisposable {
  const contexts = new Map<string, SecureContext>()
  let server: Promise<Server> | null = null
  const start = () => {
    const listener = createServer({
      ALPNProtocols: [protocol],
      minVersion: 'TLSv1.2',
      SNICallback: (name, done) => done(null, contexts.get(name.toLowerCase())),
    })
    // Section 3: behind the handshake there is nothing to say.
    listener.on('secureConnection', (socket) => socket.on('error', () => {}).end())
    listener.on('tlsClientError', (_, socket) => socket.destroy())
    return listening(listener, settings, 'tls-alpn-01')
  }
  return {
    type: 'tls-alpn-01',
    async present(challenge: TokenChallenge) {
      contexts.set(challenge.name, await contextOf(challenge, clock.nowMs()))
      server ??= start()
      await server.catch((error: unknown) => {
        server = null
        throw error
      })
    },
    async remove({ name }) {
      contexts.delete(name)
    },
    async [Symbol.asyncDispose]() {
      const running = await server?.catch(() => null)
      running?.close()
    },
  }
}

/** Section 3: self-signed, one name, and the digest of the key authorization in a critical extension. */
async function contextOf({ name, keyAuthorization }: TokenChallenge, nowMs: number): Promise<SecureContext> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const keys = (await crypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair
  const digest = createHash('sha256').update(keyAuthorization).digest()
  const octets = Buffer.concat([Buffer.from([0x04, digest.length]), digest])
  const certificate = await X509CertificateGenerator.createSelfSigned({
    name: 'CN=tls-alpn-01',
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(nowMs - lifetimeMs),
    notAfter: new Date(nowMs + lifetimeMs),
    extensions: [
      new SubjectAlternativeNameExtension([{ type: 'dns', value: name }]),
      new Extension(acmeIdentifier, true, octets),
    ],
  })
  const key = KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' })
  return createSecureContext({ cert: certificate.toString('pem'), key })
}
