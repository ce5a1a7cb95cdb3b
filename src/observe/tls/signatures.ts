import { constants, type KeyObject, verify } from 'node:crypto'
import { textOf } from '../../base/errors.ts'
import type { KeyKind } from '../../fleet/fleet.ts'
import { malformed, unproven, unsupported } from './flaw.ts'

interface Scheme {
  readonly name: string
  /** Of the key: asymmetricKeyType of node:crypto. */
  readonly key: 'ec' | 'rsa' | 'rsa-pss' | 'ed25519' | 'ed448'
  readonly hash: 'sha256' | 'sha384' | 'sha512' | null
  /** In TLS 1.3 the scheme names the curve too (RFC 8446 section 4.2.3). */
  readonly curve?: string
  readonly padding?: number
}

const pss = constants.RSA_PKCS1_PSS_PADDING
const pkcs1 = constants.RSA_PKCS1_PADDING

/** In the order of the offer (RFC 8446 section 4.2.3). None with SHA-1: node:tls takes none either. */
const schemes: ReadonlyMap<number, Scheme> = new Map<number, Scheme>([
  [0x0403, { name: 'ecdsa_secp256r1_sha256', key: 'ec', hash: 'sha256', curve: 'prime256v1' }],
  [0x0503, { name: 'ecdsa_secp384r1_sha384', key: 'ec', hash: 'sha384', curve: 'secp384r1' }],
  [0x0603, { name: 'ecdsa_secp521r1_sha512', key: 'ec', hash: 'sha512', curve: 'secp521r1' }],
  [0x0807, { name: 'ed25519', key: 'ed25519', hash: null }],
  [0x0808, { name: 'ed448', key: 'ed448', hash: null }],
  [0x0804, { name: 'rsa_pss_rsae_sha256', key: 'rsa', hash: 'sha256', padding: pss }],
  [0x0805, { name: 'rsa_pss_rsae_sha384', key: 'rsa', hash: 'sha384', padding: pss }],
  [0x0806, { name: 'rsa_pss_rsae_sha512', key: 'rsa', hash: 'sha512', padding: pss }],
  [0x0809, { name: 'rsa_pss_pss_sha256', key: 'rsa-pss', hash: 'sha256', padding: pss }],
  [0x080a, { name: 'rsa_pss_pss_sha384', key: 'rsa-pss', hash: 'sha384', padding: pss }],
  [0x080b, { name: 'rsa_pss_pss_sha512', key: 'rsa-pss', hash: 'sha512', padding: pss }],
  [0x0401, { name: 'rsa_pkcs1_sha256', key: 'rsa', hash: 'sha256', padding: pkcs1 }],
  [0x0501, { name: 'rsa_pkcs1_sha384', key: 'rsa', hash: 'sha384', padding: pkcs1 }],
  [0x0601, { name: 'rsa_pkcs1_sha512', key: 'rsa', hash: 'sha512', padding: pkcs1 }],
])

const curves: readonly (string | undefined)[] = [...schemes.values()].flatMap(({ curve }) => curve ?? [])

const kinds: Record<KeyKind, readonly Scheme['key'][]> = { ecdsa: ['ec'], rsa: ['rsa', 'rsa-pss'] }

/** A server that has certificates of both kinds shows the one that goes with these (RFC 8446 section 4.4.2.2). */
export function offeredSchemes(keyKind: KeyKind | undefined): number[] {
  return [...schemes].filter(([, { key }]) => keyKind === undefined || kinds[keyKind].includes(key)).map(([id]) => id)
}

/** What a certificate may be signed with, where the kind of its key matters: all of them, and with SHA-1, that it be seen. */
export function offeredForCertificates(): number[] {
  const [rsaPkcs1Sha1, ecdsaSha1] = [0x0201, 0x0203]
  return [...schemes.keys(), rsaPkcs1Sha1, ecdsaSha1]
}

export interface Signed {
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  /** What was offered: a server may use no other. */
  readonly keyKind: KeyKind | undefined
  readonly scheme: number
  readonly content: Buffer
  readonly signature: Buffer
}

/**
 * The proof: the signature is that of the leaf's key over the content, which holds our random number.
 * @throws TlsFlaw `unproven` where it is not
 */
export function checkSignature(key: KeyObject, { version, keyKind, scheme, content, signature }: Signed): void {
  const known = schemes.get(scheme)
  if (known === undefined || (keyKind !== undefined && !kinds[keyKind].includes(known.key)))
    malformed(`the server signed with the scheme 0x${scheme.toString(16)}, which was not offered`)
  const { name, hash, padding, curve } = known
  const { namedCurve } = key.asymmetricKeyDetails ?? {}
  if (key.asymmetricKeyType !== known.key)
    malformed(`the server signed with ${name}, and its certificate has a key for ${key.asymmetricKeyType}`)
  if (version === 'TLSv1.3') {
    // RFC 8446 section 4.2.3: PKCS#1 signs certificates only, and each ECDSA scheme goes with one curve.
    if (padding === pkcs1) malformed(`the server signed with ${name}, which TLS 1.3 does not allow`)
    if (curve !== undefined && namedCurve !== curve)
      malformed(`the server signed with ${name}, and its key is on ${namedCurve}`)
  }
  // RFC 8422 section 5.3: with TLS 1.2 the key may be on any curve that was offered, and on no other.
  if (curve !== undefined && !curves.includes(namedCurve))
    malformed(`the key of the certificate is on ${namedCurve ?? 'a curve of its own'}, which was not offered`)
  if (!verifies(key, hash, content, signature, padding))
    unproven(`the signature (${name}) of the server is not that of its certificate's key over this handshake`)
}

function verifies(
  key: KeyObject,
  hash: Scheme['hash'],
  content: Buffer,
  signature: Buffer,
  padding: number | undefined,
): boolean {
  try {
    if (padding === undefined) return verify(hash, content, key, signature)
    const saltLength = padding === pss ? { saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : {}
    return verify(hash, content, { key, padding, ...saltLength }, signature)
  } catch (error) {
    return unsupported(`its signature cannot be checked: ${textOf(error)}`)
  }
}
