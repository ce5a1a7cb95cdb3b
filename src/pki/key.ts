import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, KeyObject } from 'node:crypto'
import { fail, OnecertError, quote } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'
import { DerError, members, octets, readDer } from './der.ts'
import { derLabel, sniff } from './input.ts'
import { decryptLegacyPem, decryptPbe, newRoundBudget, PbeError, passwordBytes } from './pbe.ts'
import type { InputName, PemBlock } from './pem.ts'
import { rsaWeaknesses } from './rsa.ts'
import { importHints, withArticle } from './text.ts'

/** The keys that we make; every public CA takes them. */
export type KeyType = 'ec-p256' | 'ec-p384' | 'rsa-2048' | 'rsa-3072' | 'rsa-4096'

const curves: Record<string, string> = { prime256v1: 'p256', secp384r1: 'p384', secp521r1: 'p521' }
const signingTypes: readonly (string | undefined)[] = ['rsa', 'rsa-pss', 'ec', 'ed25519', 'ed448']

/** May hold the wanted key: what a file name says does not matter. */
type KeyBlock = Pick<PemBlock, 'der' | 'headers'> & { readonly label: string }

/**
 * PKCS#8, PKCS#1 or SEC1, encrypted or not, PEM or DER. Other PEM blocks beside the key are passed over.
 * Fails with INPUT_TOO_LARGE, PEM_EMPTY, PEM_WRONG_KIND, PEM_BAD_BASE64, PEM_DAMAGED, KEY_ENCRYPTED, KEY_PASSPHRASE_WRONG or
 * KEY_UNSUPPORTED. No message quotes content.
 */
export function parsePrivateKey(
  bytes: Uint8Array,
  options: InputName & { passphrase?: Secret<string> },
): Secret<KeyObject> {
  const block = keyBlock(bytes, options)
  const name = quote(options.file)
  const dekInfo = block.headers.find((header) => header.startsWith('DEK-Info:'))
  if (!dekInfo && block.label !== 'ENCRYPTED PRIVATE KEY') return readKey(block.label, block.der, name)
  if (!options.passphrase) {
    fail('KEY_ENCRYPTED', {
      what: `the private key in ${name} is encrypted`,
      fact: 'it needs a passphrase, and none was given',
      next: importHints.passphrase,
    })
  }
  return decryptKey(block, dekInfo, options.passphrase, name)
}

function keyBlock(bytes: Uint8Array, name: InputName): KeyBlock {
  const input = sniff(bytes, name)
  const blocks: readonly KeyBlock[] = input.form === 'pem' ? input.blocks : [{ ...input, headers: [] }]
  const keys = blocks.filter(({ label }) => label.endsWith('PRIVATE KEY'))
  const [key] = keys
  if (key && keys.length === 1) return key
  if (keys.length > 1) {
    fail('PEM_WRONG_KIND', {
      what: `${quote(name.file)} holds ${keys.length} private keys`,
      fact: 'expected exactly one',
      next: 'give a file that holds only the key of this certificate',
    })
  }
  const label = blocks[0]?.label ?? 'DATA'
  if (label === 'DATA') damaged(quote(name.file))
  fail('PEM_WRONG_KIND', {
    what: `${quote(name.file)} is not a private key`,
    fact: `it is ${withArticle(label)}, expected PRIVATE KEY`,
    next: label === 'PKCS12' ? importHints.pkcs12 : 'give the private key that the certificate request was made with',
  })
}

function decryptKey(
  block: KeyBlock,
  dekInfo: string | undefined,
  passphrase: Secret<string>,
  name: string,
): Secret<KeyObject> {
  try {
    const password = passwordBytes(passphrase)
    if (dekInfo) return readKey(block.label, decryptLegacyPem(dekInfo, block.der, password), name)
    const [algorithm, data] = members(readDer(block.der))
    if (!algorithm) throw new DerError('empty')
    return readKey('PRIVATE KEY', decryptPbe(algorithm, octets(data), password, newRoundBudget()), name)
  } catch (thrown) {
    if (thrown instanceof PbeError && thrown.reason !== 'wrong-password') {
      fail('KEY_UNSUPPORTED', {
        what: `the private key in ${name} is encrypted in a way that is not supported`,
        fact: thrown.message,
        next: `convert it: openssl pkcs8 -topk8 -v2 aes256 -in ${name} -out new.key`,
      })
    }
    if (thrown instanceof DerError) damaged(name, thrown)
    // A wrong passphrase passes the padding check once in 256 times and then shows as a damaged key.
    if (thrown instanceof PbeError || (thrown instanceof OnecertError && thrown.code === 'PEM_DAMAGED')) {
      fail('KEY_PASSPHRASE_WRONG', {
        what: `the passphrase does not open the private key in ${name}`,
        fact: 'decryption gave no key',
        next: 'check the passphrase file: no space or second line belongs to it',
      })
    }
    throw thrown
  }
}

function readKey(label: string, der: Uint8Array, name: string): Secret<KeyObject> {
  const type = label === 'RSA PRIVATE KEY' ? 'pkcs1' : label === 'EC PRIVATE KEY' ? 'sec1' : 'pkcs8'
  if (type === 'pkcs8' && label !== 'PRIVATE KEY') unsupported(name, `its kind is ${label}`)
  if (derLabel(der) !== label) damaged(name)
  let key: KeyObject
  try {
    key = createPrivateKey({ key: Buffer.from(der), format: 'der', type })
  } catch {
    // Without the cause: nobody has proved that OpenSSL's texts never hold a part of the input.
    return unsupported(name, 'OpenSSL cannot read it: damaged inside, or of an unknown algorithm or curve')
  }
  if (!signingTypes.includes(key.asymmetricKeyType)) unsupported(name, `its algorithm is ${key.asymmetricKeyType}`)
  return new Secret(key)
}

/** A private key in PKCS#8, as containers hold it; `name` is shown in messages. */
export function readPkcs8(der: Uint8Array, name: string): Secret<KeyObject> {
  return readKey('PRIVATE KEY', der, name)
}

function damaged(name: string, cause?: unknown): never {
  fail('PEM_DAMAGED', {
    what: `${name} holds a damaged private key`,
    fact: 'its structure is none of PKCS#8, PKCS#1 and SEC1, or it is cut short',
    next: 'export or copy the whole file again',
    cause,
  })
}

function unsupported(name: string, fact: string): never {
  fail('KEY_UNSUPPORTED', {
    what: `the private key in ${name} cannot be used for TLS`,
    fact,
    next: 'use an EC P-256 or RSA key in PEM (openssl pkey -in FILE -out new.key)',
  })
}

export function generatePrivateKey(type: KeyType): Secret<KeyObject> {
  if (type === 'ec-p256') return new Secret(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)
  if (type === 'ec-p384') return new Secret(generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey)
  return new Secret(generateKeyPairSync('rsa', { modulusLength: Number(type.slice('rsa-'.length)) }).privateKey)
}

/** PKCS#8 PEM, one newline at the end. */
export function privateKeyPem(key: Secret<KeyObject>): Secret<string> {
  return new Secret(key.reveal().export({ type: 'pkcs8', format: 'pem' }).toString())
}

/** SHA-256 of the SubjectPublicKeyInfo DER, lower hex: the identity of a key pair. */
export function spkiOf(key: Secret<KeyObject> | KeyObject): string {
  const der = publicKeyOf(key).export({ type: 'spki', format: 'der' })
  return createHash('sha256').update(der).digest('hex')
}

function publicKeyOf(key: Secret<KeyObject> | KeyObject): KeyObject {
  const object = key instanceof KeyObject ? key : key.reveal()
  return object.type === 'private' ? createPublicKey(object) : object
}

/** `ec-p256`, `rsa-2048`, `ed25519`, `ec-secp256k1`, … */
export function keyTypeOf(key: Secret<KeyObject> | KeyObject): string {
  const { asymmetricKeyType = 'unknown', asymmetricKeyDetails } = publicKeyOf(key)
  if (asymmetricKeyType.startsWith('rsa'))
    return `${asymmetricKeyType}-${asymmetricKeyDetails?.modulusLength ?? 'unknown'}`
  if (asymmetricKeyType !== 'ec') return asymmetricKeyType
  const curve = asymmetricKeyDetails?.namedCurve ?? 'explicit-curve'
  return `ec-${curves[curve] ?? curve}`
}

/** All reasons against a key, from its public part: KEY_TOO_WEAK (never use it), KEY_UNSUPPORTED_BY_CA. */
export function assessKey(key: Secret<KeyObject> | KeyObject, what = 'the private key'): OnecertError[] {
  const publicKey = publicKeyOf(key)
  const type = keyTypeOf(publicKey)
  const next = 'make a new key (ec-p256 is a good choice) and have the certificate reissued'
  const weak = weaknesses(publicKey).map(
    (fact) => new OnecertError('KEY_TOO_WEAK', { what: `${what} is too weak`, fact, next }),
  )
  if (weak.length > 0 || /^ec-p(256|384)$/.test(type) || isUsualRsa(type)) return weak
  const fact = `its type is ${type}; public CAs take ec-p256, ec-p384 and rsa-2048 to rsa-4096`
  return [
    new OnecertError('KEY_UNSUPPORTED_BY_CA', { what: `${what} is of a type that public CAs do not sign`, fact, next }),
  ]
}

function isUsualRsa(type: string): boolean {
  const bits = Number(/^rsa-(\d+)$/.exec(type)?.[1] ?? 0)
  return bits >= 2048 && bits <= 4096
}

function weaknesses(publicKey: KeyObject): string[] {
  const type = publicKey.asymmetricKeyType ?? ''
  if (type === 'rsa') {
    const { n, e } = publicKey.export({ format: 'jwk' })
    return rsaWeaknesses(unsigned(n), unsigned(e), publicKey.asymmetricKeyDetails?.modulusLength ?? 0)
  }
  const curve = publicKey.asymmetricKeyDetails?.namedCurve ?? ''
  const bits = type === 'ec' ? Number(/\d{3}/.exec(curve)?.[0] ?? 256) : 256
  return bits < 224 ? [`curve ${curve} has ${bits} bits, minimum 256`] : []
}

function unsigned(base64url: unknown): bigint {
  return BigInt(`0x0${Buffer.from(String(base64url ?? ''), 'base64url').toString('hex')}`)
}
