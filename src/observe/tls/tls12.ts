import { certificateType, readCertificates12 } from './certificates.ts'
import type { Offer } from './client-hello.ts'
import { type Dialogue, expectType } from './dialogue.ts'
import { countTimestamps, extension, hasStaple, readAlpn } from './extensions.ts'
import { malformed, unsupported } from './flaw.ts'
import { groups } from './groups.ts'
import { fingerprintOf, readLeaf } from './leaf.ts'
import { Reader } from './reader.ts'
import type { ServerHello } from './server-hello.ts'
import { checkSignature } from './signatures.ts'
import type { Suite12 } from './suites.ts'

const certificateStatus = 22
const serverKeyExchange = 12

/**
 * TLS 1.2 up to the ServerKeyExchange (RFC 5246 section 7.4.3): its signature, over both random numbers and the server's
 * share, is the proof. All of that is in clear, and nothing of the rest is needed.
 */
export function* talk12(
  offer: Offer,
  { suite, random, extensions }: ServerHello & { readonly version: 'TLSv1.2' },
): Dialogue {
  const certificates = yield null
  expectType(certificates, certificateType, 'the Certificate')
  const chain = readCertificates12(certificates.body)
  let message = yield null
  let staple: Buffer | undefined
  // RFC 6066 section 8: it may come where the ServerHello said so.
  if (message.type === certificateStatus && extensions.has(extension.statusRequest)) {
    staple = message.body
    message = yield null
  }
  expectType(message, serverKeyExchange, 'the ServerKeyExchange')
  const reader = new Reader(message.body, 'the ServerKeyExchange')
  const group = suite.exchange === 'ECDHE' ? readCurve(reader) : readPrime(reader)
  const params = message.body.subarray(0, message.body.length - reader.left)
  const scheme = reader.uint16()
  const signature = reader.vector(2)
  reader.end()
  const [der] = chain
  const fingerprint = fingerprintOf(der)
  const leaf = readLeaf(der, fingerprint)
  checkKind(suite, leaf.publicKey.asymmetricKeyType ?? 'an unknown algorithm')
  checkSignature(leaf.publicKey, {
    version: 'TLSv1.2',
    keyKind: offer.wanted.keyKind,
    scheme,
    content: Buffer.concat([offer.random, random, params]),
    signature,
  })
  return {
    version: 'TLSv1.2',
    cipher: suite.name,
    group,
    alpn: readAlpn(extensions.get(extension.alpn), offer.wanted.alpn ?? []),
    chain,
    fingerprint,
    leaf,
    ocspStaple: hasStaple(staple),
    scts: countTimestamps(extensions.get(extension.signedCertificateTimestamps)),
  }
}

/** RFC 8422 section 5.4. */
function readCurve(reader: Reader): string {
  const namedCurve = 3
  if (reader.uint8() !== namedCurve) unsupported('the server describes a curve of its own')
  const id = reader.uint16()
  const share = reader.vector(1)
  const group = groups.get(id)
  if (group === undefined) return malformed(`the server chose the group ${id}, which was not offered`)
  group.expectShare(share)
  return group.name
}

/** ServerDHParams of RFC 5246 section 7.4.3. */
function readPrime(reader: Reader): string {
  const prime = reader.vector(2)
  const generator = reader.vector(2)
  const share = reader.vector(2)
  if (prime.length === 0 || generator.length === 0 || share.length === 0) malformed('empty parameters of DHE')
  return `DHE-${8 * prime.length}`
}

/** RFC 8422 section 5.3: EdDSA keys go with the suites of ECDSA. */
function checkKind({ name, kind }: Suite12, type: string): void {
  const rsa = type === 'rsa' || type === 'rsa-pss'
  if (rsa !== (kind === 'rsa')) malformed(`the server chose ${name}, and its certificate has a key for ${type}`)
}
