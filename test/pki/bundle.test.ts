import assert from 'node:assert/strict'
import { test } from 'node:test'
import { assessBundle, type BundleOptions, combinedPem, fullchainPem } from '../../src/pki/bundle.ts'
import { parseCertificates } from '../../src/pki/certificate.ts'
import { parsePrivateKey, spkiOf } from '../../src/pki/key.ts'
import { nowMs, textOf, vector } from './vectors.ts'

const file = 'site.pem'
const names = ['www.vectors.test', 'shop.vectors.test']
const root = parseCertificates(vector('root.pem'), { file })

function assess(certificates: string, key = 'good.key', options: Partial<BundleOptions> = {}) {
  return assessBundle(
    { certificates: parseCertificates(vector(certificates), { file }), key: parsePrivateKey(vector(key), { file }) },
    { names, nowMs, anchors: root, ...options },
  )
}
const codes = (errors: readonly { code: string }[]) => errors.map(({ code }) => code)

test('a sound pair gives a bundle without a word', () => {
  const { bundle, errors, warnings } = assess('good.pem')
  assert.deepEqual([errors, warnings], [[], []])
  assert.ok(bundle)
  assert.equal(bundle.spki, bundle.leaf.spki)
  assert.equal(fullchainPem(bundle), Buffer.from(vector('good.pem')).toString())
  const key = Buffer.from(vector('good.key')).toString()
  assert.equal(combinedPem(bundle).reveal(), `${fullchainPem(bundle)}${key}`)
  assert.equal(String(combinedPem(bundle)), '[secret]')
})

/** One defect each: exactly this code, and the fact that tells what to do. */
const defects: readonly (readonly [string, string, string, RegExp])[] = [
  ['good.pem', '01-other.key', 'PEM_KEY_MISMATCH', /key has SPKI [0-9a-f]{8}….*certificate has SPKI [0-9a-f]{8}…/],
  ['02-intermediate-first.pem', 'good.key', 'CHAIN_ORDER', /intermediate "Vectors R11"; leaf is number 2/],
  ['03-leaf-only.pem', 'good.key', 'CHAIN_INCOMPLETE', /issuer "Vectors R11" is missing/],
  ['04-foreign-intermediate.pem', 'good.key', 'CHAIN_BROKEN', /certificate 2 "Foreign CA" did not sign certificate 1/],
  ['19-rsa-1024.pem', '19-rsa-1024.key', 'KEY_TOO_WEAK', /RSA 1024 bits, minimum 2048/],
  ['20-sha1.pem', 'good.key', 'CERT_WEAK_SIGNATURE', /signed with ecdsa-with-SHA1/],
  ['21-secp256k1.pem', '21-secp256k1.key', 'KEY_UNSUPPORTED_BY_CA', /its type is ec-secp256k1/],
  [
    '22-expired.pem',
    'good.key',
    'CERT_EXPIRED',
    /expired 3 d ago.*to 2026-12-29T00:00:00Z; the clock here says 2027-01-01T00:00:00Z/s,
  ],
  [
    '22-not-yet-valid.pem',
    'good.key',
    'CERT_NOT_YET_VALID',
    /valid only in 40 min.*valid 2027-01-01T00:40:00Z.*2027-01-01T00:00:00Z/s,
  ],
  ['23-ca-as-leaf.pem', 'good.key', 'CERT_NOT_A_LEAF', /CA:TRUE/],
  ['23-no-server-auth.pem', 'good.key', 'CERT_WRONG_USAGE', /extendedKeyUsage has clientAuth, but not serverAuth/],
  ['23-no-digital-signature.pem', 'good.key', 'CERT_WRONG_USAGE', /keyUsage lacks digitalSignature/],
]

for (const [certificates, key, code, fact] of defects) {
  test(`${certificates} with ${key} has exactly one defect: ${code}`, () => {
    const { bundle, errors } = assess(certificates, key)
    assert.deepEqual(codes(errors), [code])
    assert.match(errors.map(textOf).join(), fact)
    assert.equal(bundle, undefined)
  })
}

test('all defects are reported at once', () => {
  const { errors } = assess('22-expired.pem', '01-other.key', { names: ['else.vectors.test'] })
  assert.deepEqual(codes(errors), ['PEM_KEY_MISMATCH', 'CERT_EXPIRED', 'CERT_NAME_MISSING'])
})

test('a name that is not covered is told, with what was needed and what the certificate has', () => {
  const { errors } = assess('good.pem', 'good.key', {
    names: ['www.vectors.test', 'api.vectors.test', 'a.wild.vectors.test'],
  })
  assert.deepEqual(codes(errors), ['CERT_NAME_MISSING'])
  const text = errors.map(textOf).join()
  assert.match(text, /does not cover api\.vectors\.test/)
  assert.match(text, /certificate has www\.vectors\.test, shop\.vectors\.test, \*\.wild\.vectors\.test, 192\.0\.2\.7/)
})

test('a wildcard site and IP addresses are looked up as such', () => {
  assert.ok(assess('good.pem', 'good.key', { names: ['*.wild.vectors.test', '192.0.2.7', '2001:DB8:0::7'] }).bundle)
  const { errors } = assess('good.pem', 'good.key', { names: ['*.vectors.test', '192.0.2.8'] })
  assert.match(errors.map(textOf).join(), /does not cover \*\.vectors\.test, 192\.0\.2\.8/)
})

test('a wrong order is put right where that was asked for', () => {
  const { bundle, errors, warnings } = assess('02-intermediate-first.pem', 'good.key', { fixOrder: true })
  assert.deepEqual([codes(errors), codes(warnings)], [[], ['CHAIN_ORDER']])
  assert.ok(bundle)
  assert.equal(fullchainPem(bundle), Buffer.from(vector('good.pem')).toString())
})

test('the root in the file is a warning, and is not sent', () => {
  const { bundle, warnings } = assess('06-root-included.pem', 'good.key')
  assert.deepEqual(codes(warnings), ['CHAIN_HAS_ROOT'])
  assert.equal(bundle?.chain.length, 2)
})

test('intermediates in the wrong order are sent in the right one', () => {
  const { bundle, errors, warnings } = assess('deep-shuffled.pem')
  assert.deepEqual([codes(errors), codes(warnings)], [[], ['CHAIN_ORDER', 'CHAIN_HAS_ROOT']])
  assert.deepEqual(
    bundle?.chain.map(({ subjectCommonName }) => subjectCommonName),
    ['www.vectors.test', 'Vectors Second', 'Vectors R11'],
  )
})

test('an Ed25519 leaf is accepted with a warning: its owner knows the clients', () => {
  const { bundle, warnings } = assess('21-ed25519.pem', '21-ed25519.key')
  assert.ok(bundle)
  assert.deepEqual(codes(warnings), ['KEY_UNSUPPORTED_BY_CA'])
})

test('a chain that ends at a private root is accepted with a warning where no anchors were given', () => {
  const certificates = parseCertificates(vector('good.pem'), { file })
  const key = parsePrivateKey(vector('good.key'), { file })
  const { bundle, warnings } = assessBundle({ certificates, key }, { names, nowMs })
  assert.ok(bundle)
  assert.deepEqual(codes(warnings), ['CHAIN_INCOMPLETE'])
})

test('an expired intermediate is an error too, and named', () => {
  const { errors } = assess('good.pem', 'good.key', { nowMs: Date.UTC(2100, 0, 2) })
  assert.deepEqual(codes(errors), ['CERT_EXPIRED', 'CERT_EXPIRED'])
  assert.match(errors.map(textOf).join(), /"Vectors R11" expired/)
})

test('a key whose secret part belongs to another pair is found, although it names the right public key', () => {
  const swap = Buffer.from(vector('11-key.der'))
  const other = parsePrivateKey(vector('01-other.key'), { file }).reveal().export({ type: 'pkcs8', format: 'der' })
  // The 32 bytes of the secret number stand at the same place in both (RFC 5915).
  const at = swap.indexOf(Buffer.from([0x02, 0x01, 0x01, 0x04, 0x20])) + 5
  other.copy(swap, at, at, at + 32)
  const key = parsePrivateKey(swap, { file })
  const certificates = parseCertificates(vector('good.pem'), { file })
  assert.equal(spkiOf(key), certificates[0]?.spki)
  const { errors } = assessBundle({ certificates, key }, { names, nowMs, anchors: root })
  assert.deepEqual(codes(errors), ['PEM_DAMAGED'])
})

test('no certificates at all are one error', () => {
  const key = parsePrivateKey(vector('good.key'), { file })
  assert.deepEqual(codes(assessBundle({ certificates: [], key }, { names, nowMs }).errors), ['PEM_EMPTY'])
})

test('the files are named where they are known', () => {
  const { errors } = assess('good.pem', '01-other.key', { files: { certificate: '/etc/c.pem', key: '/etc/k.pem' } })
  assert.match(errors[0]?.message ?? '', /the key in \/etc\/k\.pem does not belong.* in \/etc\/c\.pem/)
})
