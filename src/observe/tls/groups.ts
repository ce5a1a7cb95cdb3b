import { createECDH, createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto'
import { malformed } from './flaw.ts'

/** A group of a key exchange. */
export interface Group {
  readonly name: string
  /** Our key share (RFC 8446 section 4.2.8.2). */
  share(): Buffer
  /** That the share of the server may be one of this group. @throws TlsFlaw */
  expectShare(theirs: Buffer): void
  /** The shared secret, from the share of the server. */
  secret(theirs: Buffer): Buffer
}

/** The key share of the first one goes along with the first hello; the others are sent to a server that asks for one. */
export const groups: ReadonlyMap<number, Group> = new Map([
  [23, weierstrass('P-256', 'prime256v1', 32)],
  [29, montgomery('X25519', 'x25519', 32)],
  [24, weierstrass('P-384', 'secp384r1', 48)],
  [25, weierstrass('P-521', 'secp521r1', 66)],
  [30, montgomery('X448', 'x448', 56)],
])

export const firstGroup = 23

/**
 * Our private key is 1, so that our share is the base point and the secret the x of the server's share: nothing is
 * computed. A look sends no secret, so there is none to keep. What the server signs holds our random number, whoever knows
 * the keys of the records. For the same reason it does not matter whether its share lies on the curve.
 */
function weierstrass(name: string, curve: string, fieldBytes: number): Group {
  const share = once(() => {
    const exchange = createECDH(curve)
    exchange.setPrivateKey(Buffer.of(1))
    return exchange.getPublicKey()
  })
  const expectShare = (theirs: Buffer) => {
    // RFC 8446 section 4.2.8.2, RFC 8422 section 5.4.1: uncompressed, and nothing else.
    if (theirs.length !== 1 + 2 * fieldBytes || theirs[0] !== 4) malformed(`a key share that is no point of ${name}`)
  }
  return {
    name,
    share,
    expectShare,
    secret(theirs) {
      expectShare(theirs)
      return theirs.subarray(1, 1 + fieldBytes)
    },
  }
}

/** One throw-away key for the whole process: see above. Its scalar cannot be 1 (RFC 7748 section 5). */
function montgomery(name: string, type: 'x25519' | 'x448', bytes: number): Group {
  const pair = once(() => {
    const { publicKey, privateKey } = type === 'x25519' ? generateKeyPairSync('x25519') : generateKeyPairSync('x448')
    return { privateKey, share: Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url') }
  })
  const expectShare = (theirs: Buffer) => {
    if (theirs.length !== bytes) malformed(`a key share of ${theirs.length} bytes for ${name}`)
  }
  return {
    name,
    share: () => pair().share,
    expectShare,
    secret(theirs) {
      expectShare(theirs)
      const jwk = { kty: 'OKP', crv: name, x: theirs.toString('base64url') }
      try {
        return diffieHellman({ privateKey: pair().privateKey, publicKey: createPublicKey({ key: jwk, format: 'jwk' }) })
      } catch {
        // RFC 8446 section 7.4.2: a share that leads to zero.
        return malformed(`a key share that is no usable point of ${name}`)
      }
    },
  }
}

function once<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined
  return () => {
    made ??= { value: make() }
    return made.value
  }
}
