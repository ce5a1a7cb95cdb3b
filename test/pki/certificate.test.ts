import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { test } from 'node:test'
import { parseCertificate, parseCertificates } from '../../src/pki/certificate.ts'
import { defaultAnchors, nameOf } from '../../src/pki/chain.ts'
import { refusal, vector } from './vectors.ts'

const file = 'site.pem'
const folder = join(import.meta.dirname, '../vectors/pki')
const openssl = (...args: string[]) =>
  execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] }).trim()

test('a certificate is read as openssl reads it', () => {
  const [leaf, intermediate] = parseCertificates(vector('good.pem'), { file })
  assert.ok(leaf && intermediate)
  const path = join(folder, 'good.pem')
  const fingerprint = openssl('x509', '-in', path, '-noout', '-fingerprint', '-sha256')
    .split('=')[1]
    ?.replaceAll(':', '')
  assert.equal(leaf.fingerprint, fingerprint?.toLowerCase())
  assert.equal(`serial=${leaf.serial}`, openssl('x509', '-in', path, '-noout', '-serial'))
  assert.deepEqual(leaf.names, ['www.vectors.test', 'shop.vectors.test', '*.wild.vectors.test'])
  assert.deepEqual(leaf.addresses, ['192.0.2.7', '2001:db8::7'])
  assert.equal(leaf.notBeforeMs, Date.UTC(2026, 0, 1))
  assert.equal(leaf.notAfterMs, Date.UTC(2099, 11, 31, 23, 59, 59))
  assert.equal(leaf.subject, 'CN=www.vectors.test')
  assert.equal(leaf.issuer, 'O=Vectors, CN=Vectors R11')
  assert.equal(leaf.aiaIssuerUrl, 'http://ca.vectors.example/intermediate.der')
  assert.equal(leaf.keyType, 'ec-p256')
  assert.equal(leaf.signatureAlgorithm, 'ecdsa-with-SHA256')
  assert.deepEqual(
    [leaf.isCa, leaf.selfSigned, intermediate.isCa, intermediate.selfSigned],
    [false, false, true, false],
  )
  assert.equal(parseCertificates(vector('root.pem'), { file })[0]?.selfSigned, true)
})

test('the SPKI pin is the SHA-256 of the SubjectPublicKeyInfo', () => {
  const command = 'openssl x509 -in "$1" -noout -pubkey | openssl pkey -pubin -outform DER | openssl sha256 -r'
  const pin = execFileSync('sh', ['-c', command, 'sh', join(folder, 'good.pem')], { encoding: 'utf8' }).split(' ')[0]
  assert.equal(parseCertificates(vector('good.pem'), { file })[0]?.spki, pin)
})

test('DER is accepted by its bytes, whatever the name says', () => {
  const [fromDer] = parseCertificates(vector('11-certificate.der'), { file: 'site.pem' })
  assert.equal(fromDer?.pem, Buffer.from(vector('03-leaf-only.pem')).toString())
})

test('every public root that Node knows is read', () => {
  assert.ok(defaultAnchors().length > 100)
  assert.ok(defaultAnchors().every(({ selfSigned }) => selfSigned))
})

for (const [name, fact] of [
  ['08-request.pem', 'it is a CERTIFICATE REQUEST, expected CERTIFICATE'],
  ['09-key-as-certificate.pem', 'it contains a PRIVATE KEY, expected CERTIFICATE'],
  ['10-public-key.pem', 'it is a PUBLIC KEY, expected CERTIFICATE'],
  ['11-key.der', 'it contains a PRIVATE KEY, expected CERTIFICATE'],
  ['17-pkcs8-aes.der', 'it contains an ENCRYPTED PRIVATE KEY, expected CERTIFICATE'],
  ['28-modern.p12', 'it is a PKCS12, expected CERTIFICATE'],
] as const) {
  test(`${name} given as certificate is refused: ${fact}`, () => {
    const { code, text } = refusal(() => parseCertificates(vector(name), { file }))
    assert.equal(code, 'PEM_WRONG_KIND')
    assert.ok(text.includes(fact), text)
  })
}

test('a key pasted as the certificate is never echoed, and its owner is warned', () => {
  const { text } = refusal(() => parseCertificates(vector('09-key-as-certificate.pem'), { file }))
  const content = Buffer.from(vector('09-key-as-certificate.pem')).toString().split('\n').slice(1, -2).join('')
  for (let at = 0; at + 6 <= content.length; at++) assert.ok(!text.includes(content.slice(at, at + 6)))
  assert.match(text, /shell history/)
})

test('bytes after a certificate in DER are refused', () => {
  const der = vector('11-certificate.der')
  const { code, text } = refusal(() => parseCertificate(Buffer.concat([der, Buffer.alloc(12)]), { file }))
  assert.equal(code, 'PEM_DAMAGED')
  assert.match(text, /12 bytes follow its end/)
})

test('PEM text is not taken for DER', () => {
  assert.equal(refusal(() => parseCertificate(vector('good.pem'), { file })).code, 'PEM_DAMAGED')
})

test('a damaged certificate among several is named by its line', () => {
  const good = Buffer.from(vector('good.pem')).toString()
  const both = good + Buffer.from(vector('15-damaged-inside.pem')).toString()
  const { text } = refusal(() => parseCertificates(Buffer.from(both), { file }))
  assert.ok(text.includes(`site.pem:${good.split('\n').length}`), text)
})

test('escape sequences and markup in a subject are shown inert', () => {
  const [hostile] = parseCertificates(vector('hostile-subject.pem'), { file })
  assert.ok(hostile)
  assert.equal(nameOf(hostile), '"\\x1b]0;owned\\x07<img onerror>"')
})
