import { createHash, X509Certificate } from 'node:crypto'
import { fail, OnecertError, quote, retold } from '../base/errors.ts'
import { readExtensions } from './extensions.ts'
import { sniff } from './input.ts'
import { keyTypeOf, spkiOf } from './key.ts'
import { type InputName, writePem } from './pem.ts'
import { importHints, withArticle } from './text.ts'

/** One certificate, read once; everything that the other rooms ask about it. */
export interface X509 {
  readonly der: Uint8Array
  /** One newline at the end. */
  readonly pem: string
  /** One line, most significant part first: `C=US, O=Let's Encrypt, CN=R11`. Text from outside: quote it. */
  readonly subject: string
  readonly issuer: string
  readonly subjectCommonName?: string
  readonly issuerCommonName?: string
  /** dNSName entries of subjectAltName, lower case. The common name is never a host name (RFC 9525 section 2). */
  readonly names: readonly string[]
  /** iPAddress entries, as text. */
  readonly addresses: readonly string[]
  /** Upper-case hex. */
  readonly serial: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** SHA-256 of the DER, lower hex. */
  readonly fingerprint: string
  /** SHA-256 of the SubjectPublicKeyInfo DER, lower hex. */
  readonly spki: string
  /** basicConstraints says CA:TRUE. */
  readonly isCa: boolean
  /** Issuer is subject, and its own key has signed it. */
  readonly selfSigned: boolean
  /** `ec-p256`, `rsa-2048`, `ed25519`, `ec-secp256k1`, … */
  readonly keyType: string
  /** `ecdsa-with-SHA256`, `sha1WithRSAEncryption`, `rsassaPss-SHA256`, … */
  readonly signatureAlgorithm: string
  /** OIDs of extendedKeyUsage; absent means any usage. */
  readonly usages?: readonly string[]
  /** keyUsage allows digitalSignature, which every TLS 1.3 handshake needs. */
  readonly maySign: boolean
  /** Where the issuer's certificate may be found (id-ad-caIssuers). Text from outside: never fetch it unchecked. */
  readonly aiaIssuerUrl?: string
}

const natives = new WeakMap<X509, X509Certificate>()

/** The node:crypto object, for verifying. */
export function nativeOf(certificate: X509): X509Certificate {
  const known = natives.get(certificate)
  if (known) return known
  const native = new X509Certificate(certificate.der)
  natives.set(certificate, native)
  return native
}

/** One certificate in DER, nothing after it. Fails with PEM_DAMAGED, or KEY_UNSUPPORTED for a key that OpenSSL cannot read. */
export function parseCertificate(der: Uint8Array, { file }: InputName): X509 {
  const damaged = (fact: string, cause?: unknown) =>
    fail('PEM_DAMAGED', {
      what: `${quote(file)} holds a damaged certificate`,
      fact,
      next: 'export or copy the whole file again',
      cause,
    })
  // node:crypto also takes PEM text; a certificate in DER begins with SEQUENCE.
  if (der[0] !== 0x30) damaged('its bytes are not DER')
  const native = attempt(
    () => new X509Certificate(der),
    (cause) => damaged('OpenSSL cannot read its structure', cause),
  )
  if (native.raw.length !== der.length) damaged(`${der.length - native.raw.length} bytes follow its end`)
  const extensions = attempt(
    () => readExtensions(der),
    (cause) => damaged('its extensions are malformed', cause),
  )
  const publicKey = attempt(
    () => native.publicKey,
    (cause) =>
      fail('KEY_UNSUPPORTED', {
        what: `the certificate in ${quote(file)} has a key that cannot be read`,
        fact: 'its algorithm or curve is unknown to OpenSSL',
        next: 'use a certificate with an EC P-256 or RSA key',
        cause,
      }),
  )
  // Only for signatureName: the rest of it is part of the value.
  const { pssHash, ...readOurselves } = extensions
  const certificate: X509 = {
    der: new Uint8Array(native.raw),
    pem: writePem('CERTIFICATE', native.raw),
    subject: oneLine(native.subject),
    issuer: oneLine(native.issuer),
    ...readOurselves,
    serial: native.serialNumber,
    notBeforeMs: native.validFromDate.getTime(),
    notAfterMs: native.validToDate.getTime(),
    fingerprint: createHash('sha256').update(native.raw).digest('hex'),
    spki: spkiOf(publicKey),
    selfSigned: native.subject === native.issuer && signedBy(native, native),
    keyType: keyTypeOf(publicKey),
    signatureAlgorithm: signatureName(native, pssHash),
  }
  if (!Number.isFinite(certificate.notBeforeMs + certificate.notAfterMs)) damaged('its validity dates are malformed')
  natives.set(certificate, native)
  return certificate
}

/**
 * All certificates of a file, in its order: PEM with any number of them (other blocks are passed over where there is at least one),
 * or one in DER. Fails with INPUT_TOO_LARGE, PEM_EMPTY, PEM_WRONG_KIND, PEM_BAD_BASE64 or PEM_DAMAGED.
 */
export function parseCertificates(bytes: Uint8Array, name: InputName): X509[] {
  const input = sniff(bytes, name)
  if (input.form === 'der') {
    if (input.label === 'CERTIFICATE') return [parseCertificate(input.der, name)]
    if (input.label === 'DATA') {
      fail('PEM_DAMAGED', {
        what: `${quote(name.file)} is damaged`,
        fact: 'it begins like DER, but is no certificate: cut short, or of another kind',
        next: 'export or copy the whole file again',
      })
    }
    wrongKind([input.label], name)
  }
  const found = input.blocks.filter(({ label }) => label === 'CERTIFICATE' || label === 'X509 CERTIFICATE')
  if (found.length === 0)
    wrongKind(
      input.blocks.map(({ label }) => label),
      name,
    )
  return found.map(({ der, line }) => {
    try {
      return parseCertificate(der, name)
    } catch (thrown) {
      if (!(thrown instanceof OnecertError)) throw thrown
      throw retold(thrown, { at: `${quote(name.file)}:${line}` })
    }
  })
}

function wrongKind(labels: readonly string[], { file }: InputName): never {
  const key = labels.find((label) => label.endsWith('PRIVATE KEY'))
  const label = key ?? labels[0] ?? 'file'
  fail('PEM_WRONG_KIND', {
    what: `${quote(file)} is not a certificate`,
    fact: key
      ? `it contains ${withArticle(key)}, expected CERTIFICATE`
      : `it is ${withArticle(label)}, expected CERTIFICATE`,
    next: key
      ? 'give the key as the key; if you pasted it, it may now be in your shell history'
      : certificateHint(label, file),
  })
}

function certificateHint(label: string, file: string): string {
  if (label === 'PKCS7') return `convert it: openssl pkcs7 -print_certs -in ${quote(file)} -out chain.pem`
  if (label === 'PKCS12') return importHints.pkcs12
  if (label.includes('REQUEST')) return 'send this request to the CA, and give the certificate that the CA returns'
  return 'give the file that the CA returned'
}

/** The name is the issuer's, the authority key identifier agrees, and the signature verifies. */
export function issued(issuer: X509, subject: X509): boolean {
  const [upper, lower] = [nativeOf(issuer), nativeOf(subject)]
  return lower.checkIssued(upper) && signedBy(lower, upper)
}

function signedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}

function oneLine(distinguishedName: string | undefined): string {
  return (distinguishedName ?? '').split('\n').join(', ')
}

const pssHashes: Record<string, string> = {
  '1.3.14.3.2.26': 'SHA1',
  '2.16.840.1.101.3.4.2.1': 'SHA256',
  '2.16.840.1.101.3.4.2.2': 'SHA384',
  '2.16.840.1.101.3.4.2.3': 'SHA512',
}

function signatureName(native: X509Certificate, pssHash: string | undefined): string {
  if (pssHash) return `rsassaPss-${pssHashes[pssHash] ?? pssHash}`
  return native.signatureAlgorithm ?? native.signatureAlgorithmOid
}

function attempt<T>(read: () => T, otherwise: (cause: unknown) => never): T {
  try {
    return read()
  } catch (cause) {
    return otherwise(cause)
  }
}
