import { certificateType, readCertificates13 } from './certificates.ts'
import type { Offer } from './client-hello.ts'
import { type Dialogue, expectType } from './dialogue.ts'
import { expectEmpty, extension, readAlpn, readExtensions } from './extensions.ts'
import { unproven } from './flaw.ts'
import { finishedData, handshakeSecret, trafficKeys, trafficSecret, transcriptHash } from './key-schedule.ts'
import { fingerprintOf, readLeaf } from './leaf.ts'
import { opener } from './protection.ts'
import { Reader } from './reader.ts'
import type { Records } from './records.ts'
import { checkSignature } from './signatures.ts'
import type { Suite13 } from './suites.ts'

const encryptedExtensions = 8
const certificateRequest = 13
const certificateVerify = 15
const finished = 20

/** RFC 8446 section 4.4.3: what stands before the hash of the transcript. */
const context = Buffer.from(`${' '.repeat(64)}TLS 1.3, server CertificateVerify\0`, 'latin1')

export interface Agreed {
  readonly suite: Suite13
  /** The name of the group. */
  readonly group: string
  readonly secret: Buffer
  /** The messages up to the ServerHello. */
  readonly transcript: Buffer[]
}

/**
 * TLS 1.3 from the ServerHello to the server's Finished (RFC 8446 sections 4.3 and 4.4). The signature in
 * CertificateVerify, over all that was said, is the proof.
 */
export function* talk13(offer: Offer, { suite, group, secret, transcript }: Agreed, records: Records): Dialogue {
  const { hash } = suite
  const handshake = handshakeSecret(hash, secret)
  const serverSecret = trafficSecret(hash, handshake, 's hs traffic', transcriptHash(hash, transcript))
  records.protect(opener(suite, trafficKeys(suite, serverSecret)))
  let message = yield null
  expectType(message, encryptedExtensions, 'the EncryptedExtensions')
  const alpn = readEncryptedExtensions(message.body, offer)
  transcript.push(message.raw)
  message = yield null
  if (message.type === certificateRequest) {
    transcript.push(message.raw)
    message = yield null
  }
  expectType(message, certificateType, 'the Certificate')
  const presented = readCertificates13(message.body)
  const [der] = presented.chain
  const fingerprint = fingerprintOf(der)
  const leaf = readLeaf(der, fingerprint)
  transcript.push(message.raw)
  message = yield null
  expectType(message, certificateVerify, 'the CertificateVerify')
  const reader = new Reader(message.body, 'the CertificateVerify')
  const scheme = reader.uint16()
  const signature = reader.vector(2)
  reader.end()
  checkSignature(leaf.publicKey, {
    version: 'TLSv1.3',
    keyKind: offer.wanted.keyKind,
    scheme,
    content: Buffer.concat([context, transcriptHash(hash, transcript)]),
    signature,
  })
  transcript.push(message.raw)
  message = yield null
  expectType(message, finished, 'the Finished')
  if (!message.body.equals(finishedData(hash, serverSecret, transcriptHash(hash, transcript))))
    unproven('the Finished of the server does not belong to this handshake')
  records.expectEnd()
  return { version: 'TLSv1.3', cipher: suite.name, group, alpn, fingerprint, leaf, ...presented }
}

function readEncryptedExtensions(body: Buffer, offer: Offer): string | null {
  const reader = new Reader(body, 'the EncryptedExtensions')
  const { name, alpn = [] } = offer.wanted
  const allowed = [extension.supportedGroups, extension.alpn, ...(name === undefined ? [] : [extension.serverName])]
  const extensions = readExtensions(reader.vector(2), allowed, 'the EncryptedExtensions')
  reader.end()
  // RFC 6066 section 3.
  expectEmpty(extensions, [extension.serverName], 'the EncryptedExtensions')
  return readAlpn(extensions.get(extension.alpn), alpn)
}
