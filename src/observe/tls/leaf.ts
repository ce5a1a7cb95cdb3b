import { hash, type KeyObject, X509Certificate } from 'node:crypto'
import { quote, textOf } from '../../base/errors.ts'
import { spkiOf } from '../../pki/key.ts'
import { malformed, unsupported } from './flaw.ts'

export interface Leaf {
  readonly publicKey: KeyObject
  readonly notAfterMs: number
  /** Its common name, safe to print; empty: none. */
  readonly subject: string
  /** SHA-256 of its SubjectPublicKeyInfo, lower hex. */
  readonly spki: string
}

/** A fleet serves a few certificates from many servers, and to parse one costs more than the whole rest of a look. */
const known = new Map<string, Leaf>()
const knownMax = 256

export function fingerprintOf(der: Buffer): string {
  return hash('sha256', der)
}

/** @param fingerprint that of the DER @throws TlsFlaw */
export function readLeaf(der: Buffer, fingerprint: string): Leaf {
  const before = known.get(fingerprint)
  if (before !== undefined) return before
  const leaf = parse(der)
  const [oldest] = known.keys()
  if (known.size >= knownMax && oldest !== undefined) known.delete(oldest)
  known.set(fingerprint, leaf)
  return leaf
}

function parse(der: Buffer): Leaf {
  let certificate: X509Certificate
  let publicKey: KeyObject
  try {
    certificate = new X509Certificate(der)
    publicKey = certificate.publicKey
  } catch (error) {
    return unsupported(`its certificate cannot be read: ${textOf(error)}`)
  }
  // What is read has to be what was sent, whose fingerprint is told: node:crypto finds a PEM within other bytes too.
  if (!certificate.raw.equals(der)) malformed('a certificate that is read as another one')
  return leafOf(certificate, publicKey)
}

export function leafOf({ subject, validTo }: X509Certificate, publicKey: KeyObject): Leaf {
  const [, name = ''] = /^CN=(.*)$/m.exec(subject ?? '') ?? []
  const notAfterMs = Date.parse(validTo)
  if (Number.isNaN(notAfterMs)) malformed('a certificate whose end is no date')
  return { publicKey, notAfterMs, subject: quote(name), spki: spkiOf(publicKey) }
}
