import { createHash, createHmac, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { fail } from '../../base/errors.ts'
import type { Secret } from '../../base/secret.ts'
import { keyTypeOf } from '../../pki/key.ts'

/** RFC 7515 section 7.2.2: the only form that ACME takes (RFC 8555 section 6.2). */
export interface FlatJws {
  readonly protected: string
  readonly payload: string
  readonly signature: string
}

/** The public part of a key, with the members that its thumbprint is made of and no other. */
export type Jwk =
  | { readonly crv: string; readonly kty: 'EC'; readonly x: string; readonly y: string }
  | { readonly e: string; readonly kty: 'RSA'; readonly n: string }

interface Algorithm {
  readonly alg: 'ES256' | 'ES384' | 'RS256'
  readonly hash: 'sha256' | 'sha384'
}

/** RFC 7518 section 3.1. */
function algorithmOf(key: Secret<KeyObject>): Algorithm {
  const type = keyTypeOf(key)
  if (type === 'ec-p256') return { alg: 'ES256', hash: 'sha256' }
  if (type === 'ec-p384') return { alg: 'ES384', hash: 'sha384' }
  if (/^rsa-\d+$/.test(type)) return { alg: 'RS256', hash: 'sha256' }
  return fail('KEY_UNSUPPORTED', {
    what: 'the key of the account at the CA cannot be used',
    fact: `its type is ${type}; ec-p256, ec-p384 and RSA keys can`,
    next: 'use another key for the account; onecert makes ec-p256',
  })
}

export function jwkOf(key: Secret<KeyObject>): Jwk {
  // From the public key: an export of the private one would hold the private members too.
  const { crv = '', x = '', y = '', e = '', n = '' } = createPublicKey(key.reveal()).export({ format: 'jwk' })
  return algorithmOf(key).alg === 'RS256' ? { e, kty: 'RSA', n } : { crv, kty: 'EC', x, y }
}

/** RFC 7638 section 3: SHA-256 over the members in the order of their names. */
export function thumbprint(jwk: Jwk): string {
  const { e, n, crv, x, y, kty } = { e: '', n: '', crv: '', x: '', y: '', ...jwk }
  const members = kty === 'RSA' ? { e, kty, n } : { crv, kty, x, y }
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url')
}

/** Signs; `payload` null is the empty one of a POST-as-GET (RFC 8555 section 6.3). */
export function signJws(key: Secret<KeyObject>, header: Readonly<Record<string, unknown>>, payload: unknown): FlatJws {
  const parts = encode({ alg: algorithmOf(key).alg, ...header }, payload)
  return { ...parts, signature: signBytes(key, signingInput(parts)).toString('base64url') }
}

export function signBytes(key: Secret<KeyObject>, bytes: Uint8Array): Buffer {
  // RFC 7518 section 3.4: the two numbers of an ECDSA signature side by side, not in DER. RSA takes no notice of it.
  return sign(algorithmOf(key).hash, bytes, { key: key.reveal(), dsaEncoding: 'ieee-p1363' })
}

/** HMAC-SHA-256, for external account binding (RFC 8555 section 7.3.4). */
export function macJws(
  hmacKey: Secret<Uint8Array>,
  header: Readonly<Record<string, unknown>>,
  payload: unknown,
): FlatJws {
  const parts = encode({ alg: 'HS256', ...header }, payload)
  return { ...parts, signature: createHmac('sha256', hmacKey.reveal()).update(signingInput(parts)).digest('base64url') }
}

function encode(header: unknown, payload: unknown): Pick<FlatJws, 'protected' | 'payload'> {
  return { protected: base64url(header), payload: payload === null ? '' : base64url(payload) }
}

function base64url(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

/** RFC 7515 section 5.1. */
function signingInput(parts: Pick<FlatJws, 'protected' | 'payload'>): Buffer {
  return Buffer.from(`${parts.protected}.${parts.payload}`)
}
