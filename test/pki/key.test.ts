import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { inspect } from 'node:util'
import { Secret } from '../../src/base/secret.ts'
import { parseCertificates } from '../../src/pki/certificate.ts'
import { explicit, number, objectId, octetString, sequence, writeDer } from '../../src/pki/der.ts'
import { assessKey, generatePrivateKey, keyTypeOf, parsePrivateKey, privateKeyPem, spkiOf } from '../../src/pki/key.ts'
import { writePem } from '../../src/pki/pem.ts'
import { hasClosePrimes, hasRocaFingerprint } from '../../src/pki/rsa.ts'
import { passphrase, refusal, textOf, vector } from './vectors.ts'

const file = 'site.key'
const pin = parseCertificates(vector('good.pem'), { file })[0]?.spki

for (const name of ['good.key', 'key-sec1.key', '11-key.der']) {
  test(`${name} is read`, () => {
    assert.equal(spkiOf(parsePrivateKey(vector(name), { file })), pin)
  })
}

test('PKCS#1 is read', () => {
  assert.equal(keyTypeOf(parsePrivateKey(vector('key-pkcs1.key'), { file })), 'rsa-2048')
})

for (const name of [
  '17-pkcs8-aes.key',
  '17-pkcs8-aes.der',
  '17-pkcs8-scrypt.key',
  '17-pkcs8-3des.key',
  '17-traditional.key',
]) {
  test(`${name} opens with its passphrase, asks for it, and tells a wrong one`, () => {
    assert.equal(spkiOf(parsePrivateKey(vector(name), { file, passphrase })), pin)
    const needed = refusal(() => parsePrivateKey(vector(name), { file }))
    assert.equal(needed.code, 'KEY_ENCRYPTED')
    assert.match(needed.text, /needs a passphrase.* passphrase-file at the issuer/s)
    for (let attempt = 0; attempt < 40; attempt++) {
      const wrong = refusal(() => parsePrivateKey(vector(name), { file, passphrase: new Secret(`hunter${attempt}`) }))
      assert.equal(wrong.code, 'KEY_PASSPHRASE_WRONG')
      assert.ok(!wrong.text.includes('hunter'))
    }
  })
}

for (const [name, fact] of [
  ['10-public-key.pem', 'it is a PUBLIC KEY, expected PRIVATE KEY'],
  ['08-request.pem', 'it is a CERTIFICATE REQUEST, expected PRIVATE KEY'],
  ['good.pem', 'it is a CERTIFICATE, expected PRIVATE KEY'],
  ['28-modern.p12', 'it is a PKCS12, expected PRIVATE KEY'],
  ['28-modern.p12', 'import: { pkcs12: FILE }'],
] as const) {
  test(`${name} given as key is refused: ${fact}`, () => {
    const { code, text } = refusal(() => parsePrivateKey(vector(name), { file }))
    assert.equal(code, 'PEM_WRONG_KIND')
    assert.ok(text.includes(fact), text)
  })
}

test('a file with two keys is refused: nobody can say which one is meant', () => {
  const two = Buffer.concat([vector('good.key'), vector('01-other.key')])
  const { code, text } = refusal(() => parsePrivateKey(two, { file }))
  assert.equal(code, 'PEM_WRONG_KIND')
  assert.match(text, /holds 2 private keys/)
})

test('a combined file gives its key, and its certificates', () => {
  const combined = Buffer.concat([vector('good.pem'), vector('good.key')])
  assert.equal(spkiOf(parsePrivateKey(combined, { file })), pin)
  assert.equal(parseCertificates(combined, { file }).length, 2)
})

test('a key that is cut short is refused as damaged', () => {
  const key = vector('11-key.der')
  assert.equal(refusal(() => parsePrivateKey(key.subarray(0, 60), { file })).code, 'PEM_DAMAGED')
  const pem = Buffer.from(writePem('PRIVATE KEY', key.subarray(0, 60)))
  assert.equal(refusal(() => parsePrivateKey(pem, { file })).code, 'PEM_DAMAGED')
})

test('a key of no use for TLS is refused with its algorithm', () => {
  const x25519 = execFileSync('openssl', ['genpkey', '-algorithm', 'X25519'])
  const { code, text } = refusal(() => parsePrivateKey(x25519, { file }))
  assert.equal(code, 'KEY_UNSUPPORTED')
  assert.match(text, /x25519/)
})

test('an encrypted key that asks for two thousand million hash rounds is refused at once', () => {
  const derivation = sequence(
    objectId('1.2.840.113549.1.5.12'),
    sequence(octetString(new Uint8Array(8)), number(2 ** 31 - 1)),
  )
  const cipher = sequence(objectId('2.16.840.1.101.3.4.1.42'), octetString(new Uint8Array(16)))
  const algorithm = sequence(objectId('1.2.840.113549.1.5.13'), sequence(derivation, cipher))
  const pem = writePem('ENCRYPTED PRIVATE KEY', writeDer(sequence(algorithm, octetString(new Uint8Array(64)))))
  const { code, text } = refusal(() => parsePrivateKey(Buffer.from(pem), { file, passphrase }))
  assert.equal(code, 'KEY_UNSUPPORTED')
  assert.match(text, /2147483647 hash rounds/)
})

test('structure that is nested without end is refused', () => {
  const deep = Array.from({ length: 500 }).reduce<ReturnType<typeof explicit>>((inner) => explicit(0, inner), number(1))
  assert.equal(refusal(() => parsePrivateKey(writeDer(sequence(deep)), { file })).code, 'PEM_DAMAGED')
})

test('generated keys have the type asked for, and survive PEM', () => {
  for (const type of ['ec-p256', 'ec-p384', 'rsa-2048'] as const) {
    const key = generatePrivateKey(type)
    assert.equal(keyTypeOf(key), type)
    assert.deepEqual(assessKey(key), [])
    const pem = privateKeyPem(key)
    assert.match(pem.reveal(), /^-----BEGIN PRIVATE KEY-----\n[A-Za-z0-9+/=\n]*-----END PRIVATE KEY-----\n$/)
    assert.equal(spkiOf(parsePrivateKey(Buffer.from(pem.reveal()), { file })), spkiOf(key))
  }
})

test('neither a key nor its PEM shows when it is printed', () => {
  const key = generatePrivateKey('ec-p256')
  const shown = [inspect({ key, pem: privateKeyPem(key) }), JSON.stringify({ key, pem: privateKeyPem(key) })].join()
  assert.ok(!/BEGIN|KeyObject/.test(shown), shown)
})

for (const [name, fact] of [
  ['19-rsa-1024.key', 'RSA 1024 bits, minimum 2048'],
  ['19-exponent-1.key', 'exponent is 1'],
  ['19-exponent-3.key', 'exponent is 3, minimum 65537'],
  ['19-roca.key', 'ROCA fingerprint'],
  ['19-close-primes.key', 'primes are so close'],
] as const) {
  test(`${name} is too weak: ${fact}, and that is all that is said`, () => {
    const [error, ...more] = assessKey(parsePrivateKey(vector(name), { file }))
    assert.ok(error)
    assert.equal(error.code, 'KEY_TOO_WEAK')
    assert.ok(textOf(error).includes(fact), textOf(error))
    assert.deepEqual(more, [])
  })
}

for (const [name, type] of [
  ['21-secp256k1.key', 'ec-secp256k1'],
  ['21-ed25519.key', 'ed25519'],
] as const) {
  test(`${name} is of a type that public CAs do not sign`, () => {
    const [error] = assessKey(parsePrivateKey(vector(name), { file }))
    assert.equal(error?.code, 'KEY_UNSUPPORTED_BY_CA')
    assert.ok(error.failure.fact?.includes(type))
  })
}

test('an RSA-PSS key is of a type that public CAs do not sign', () => {
  const pss = execFileSync('openssl', ['genpkey', '-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [error] = assessKey(parsePrivateKey(pss, { file }))
  assert.match(error?.failure.fact ?? '', /its type is rsa-pss-2048/)
})

test('sound moduli have neither fault', () => {
  const { n } = parsePrivateKey(vector('key-pkcs1.key'), { file }).reveal().export({ format: 'jwk' })
  const modulus = BigInt(`0x${Buffer.from(String(n), 'base64url').toString('hex')}`)
  assert.equal(hasRocaFingerprint(modulus), false)
  assert.equal(hasClosePrimes(modulus), false)
  assert.equal(hasClosePrimes(1_000_003n * 1_000_033n), true)
})
