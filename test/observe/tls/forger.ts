import {
  constants,
  createCipheriv,
  createECDH,
  createPrivateKey,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import {
  finishedData,
  handshakeSecret,
  trafficKeys,
  trafficSecret,
  transcriptHash,
} from '../../../src/observe/tls/key-schedule.ts'
import { type Suite13, suites13 } from '../../../src/observe/tls/suites.ts'
import type { Sold } from '../../authority.ts'

/** What a forged server does otherwise than a right one. */
export interface Forgery {
  /** Signs with this key in place of that of the certificate. */
  readonly keyPem?: string
  /** Signs as if this had been the hello of the client: what a recorded answer holds. */
  readonly signedHello?: Buffer
  readonly finished?: 'wrong' | 'missing'
  /** Of the salt of an RSA signature; default: as many as the hash has. */
  readonly saltBytes?: number
  /** A record before all other encrypted ones. */
  readonly aside?: { readonly type: number; readonly content: Buffer }
  /** Leaves CertificateVerify out. */
  readonly unsigned?: boolean
  /** Changes a message before it goes out: the transcript has it changed too. */
  readonly change?: (message: Buffer) => Buffer
  /** The certificates in the message. */
  readonly chain?: readonly Buffer[]
  /** What the random number of a TLS 1.2 server ends with. */
  readonly randomEnd?: string
  readonly extensions?: Buffer
  /** Zeros behind the content of each encrypted record (RFC 8446 section 5.4). */
  readonly paddingBytes?: number
  /** The session id that it gives back. */
  readonly sessionId?: Buffer
}

export interface Forger {
  /** The answer of a TLS 1.3 server to a ClientHello record. */
  answer13(record: Buffer, forgery?: Forgery): Buffer
  answer12(record: Buffer, forgery?: Forgery): Buffer
}

/** A TLS server of a few lines that does what it is told, right or wrong. Its certificate has a P-256 key. */
export function makeForger(sold: Sold): Forger {
  const der = new X509Certificate(sold.leafPem).raw
  const suite = suites13.get(0x1301) as Suite13
  const exchange = createECDH('prime256v1')
  const share = exchange.generateKeys()
  const signed = (content: Buffer, { keyPem = sold.keyPem, saltBytes }: Forgery) => {
    const key = createPrivateKey(keyPem)
    const scheme = key.asymmetricKeyType === 'rsa' ? [8, 4] : [4, 3]
    const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: saltBytes ?? constants.RSA_PSS_SALTLEN_DIGEST }
    const signature = sign('sha256', content, key.asymmetricKeyType === 'rsa' ? { key, ...pss } : key)
    return Buffer.concat([Buffer.from(scheme), sized(2, signature)])
  }
  return {
    answer13(record, forgery = {}) {
      const { change = (message) => message, chain = [der] } = forgery
      const hello = record.subarray(5)
      const sessionId = forgery.sessionId ?? hello.subarray(39, 39 + 32)
      const keyShare = Buffer.concat([
        Buffer.from([0, 51]),
        sized(2, Buffer.concat([Buffer.from([0, 23]), sized(2, share)])),
      ])
      const versions = Buffer.from([0, 43, 0, 2, 3, 4])
      const body = [Buffer.from([3, 3]), randomBytes(32), sized(1, sessionId), Buffer.from([0x13, 1, 0])]
      const serverHello = change(message(2, ...body, sized(2, Buffer.concat([keyShare, versions]))))
      // The private key of the client is 1: the secret is our own x.
      const handshake = handshakeSecret(suite.hash, share.subarray(1, 33))
      const secret = trafficSecret(
        suite.hash,
        handshake,
        's hs traffic',
        transcriptHash(suite.hash, [hello, serverHello]),
      )
      const seal = sealer(suite, secret, forgery.paddingBytes ?? 0)
      const { aside } = forgery
      const before = aside ? [seal(aside.type, aside.content)] : []
      const messages: Buffer[] = []
      const transcript = (first: Buffer) => transcriptHash(suite.hash, [first, serverHello, ...messages])
      messages.push(change(message(8, sized(2, forgery.extensions ?? Buffer.alloc(0)))))
      const entries = chain.map((each) => Buffer.concat([sized(3, each), Buffer.from([0, 0])]))
      messages.push(change(message(11, Buffer.from([0]), sized(3, Buffer.concat(entries)))))
      if (!forgery.unsigned) {
        const context = Buffer.from(`${' '.repeat(64)}TLS 1.3, server CertificateVerify\0`)
        const content = Buffer.concat([context, transcript(forgery.signedHello ?? hello)])
        messages.push(change(message(15, signed(content, forgery))))
      }
      if (forgery.finished !== 'missing') {
        const data = finishedData(suite.hash, secret, transcript(hello))
        messages.push(change(message(20, forgery.finished === 'wrong' ? Buffer.alloc(32) : data)))
      }
      const first = Buffer.concat([Buffer.from([22, 3, 3]), sized(2, serverHello)])
      const sealed = messages.map((each) => seal(22, each))
      return Buffer.concat([first, Buffer.from([20, 3, 3, 0, 1, 1]), ...before, ...sealed])
    },
    answer12(record, forgery = {}) {
      const { change = (message) => message, chain = [der], randomEnd = '' } = forgery
      const hello = record.subarray(5)
      const random = Buffer.concat([randomBytes(32 - randomEnd.length), Buffer.from(randomEnd, 'latin1')])
      const body = [
        Buffer.from([3, 3]),
        random,
        Buffer.from([0, 0xc0, 0x2b, 0]),
        sized(2, forgery.extensions ?? Buffer.alloc(0)),
      ]
      const params = Buffer.concat([Buffer.from([3, 0, 23]), sized(1, share)])
      const clientRandom = (forgery.signedHello ?? hello).subarray(6, 38)
      const messages = [
        message(2, ...body),
        message(11, sized(3, Buffer.concat(chain.map((each) => sized(3, each))))),
        message(
          12,
          params,
          forgery.unsigned ? Buffer.alloc(0) : signed(Buffer.concat([clientRandom, random, params]), forgery),
        ),
        message(14),
      ].map(change)
      return Buffer.concat(messages.flatMap((each) => [Buffer.from([22, 3, 3]), sized(2, each)]))
    },
  }
}

export function message(type: number, ...body: readonly Buffer[]): Buffer {
  return Buffer.concat([Buffer.from([type]), sized(3, Buffer.concat(body))])
}

export function sized(lengthBytes: 1 | 2 | 3, body: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(body.length, 0, lengthBytes)
  return Buffer.concat([length, body])
}

function sealer(suite: Suite13, secret: Buffer, paddingBytes: number): (type: number, content: Buffer) => Buffer {
  const { key, iv } = trafficKeys(suite, secret)
  let sequence = 0
  return (type, content) => {
    const nonce = Buffer.from(iv)
    nonce.writeUInt32BE((iv.readUInt32BE(8) ^ sequence++) >>> 0, 8)
    const inner = Buffer.concat([content, Buffer.from([type]), Buffer.alloc(paddingBytes)])
    const header = Buffer.concat([Buffer.from([23, 3, 3]), sized(2, Buffer.alloc(inner.length + 16)).subarray(0, 2)])
    const cipher = createCipheriv('aes-128-gcm', key, nonce)
    cipher.setAAD(header)
    const sealed = [cipher.update(inner), cipher.final()]
    return Buffer.concat([header, ...sealed, cipher.getAuthTag()])
  }
}
