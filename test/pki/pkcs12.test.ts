import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { Secret } from '../../src/base/secret.ts'
import { parseCertificates } from '../../src/pki/certificate.ts'
import { parsePrivateKey, privateKeyPem, spkiOf } from '../../src/pki/key.ts'
import { readPkcs12, writePkcs12 } from '../../src/pki/pkcs12.ts'
import { passphrase, refusal, vector } from './vectors.ts'

const file = 'site.p12'
const chain = parseCertificates(vector('good.pem'), { file })
const key = parsePrivateKey(vector('good.key'), { file })
const work = mkdtempSync(join(tmpdir(), 'onecert-p12-'))
after(() => rmSync(work, { recursive: true }))

for (const name of ['28-modern.p12', '31-legacy-rc2.p12', '31-legacy-3des.p12', '31-no-mac.p12']) {
  test(`${name}, as openssl wrote it, opens with its password`, () => {
    const read = readPkcs12(vector(name), { file, password: passphrase })
    assert.equal(privateKeyPem(read.key).reveal(), privateKeyPem(key).reveal())
    assert.deepEqual(
      read.certificates.map(({ pem }) => pem),
      chain.map(({ pem }) => pem),
    )
  })

  test(`${name} tells a wrong password from none`, () => {
    const wrong = refusal(() => readPkcs12(vector(name), { file, password: new Secret('hunter2') }))
    assert.equal(wrong.code, 'P12_PASSWORD_WRONG')
    assert.ok(!wrong.text.includes('hunter2'))
    const needed = refusal(() => readPkcs12(vector(name), { file }))
    assert.equal(needed.code, 'P12_PASSWORD_NEEDED')
    assert.match(needed.text, / passphrase-file at the issuer in the fleet file/)
  })
}

test('a container with an empty password opens without one', () => {
  assert.equal(spkiOf(readPkcs12(vector('31-empty-password.p12'), { file }).key), spkiOf(key))
})

for (const [name, code, fact] of [
  ['30-no-key.p12', 'P12_NO_KEY', 'it contains 2 certificates, no key'],
  [
    '31-rc4.p12',
    'P12_LEGACY',
    'openssl pkcs12 -legacy -in site.p12 -out all.pem, then give that: import: { certificate: all.pem,',
  ],
  ['32-truncated.p12', 'P12_DAMAGED', 'cut short'],
  ['32-pem.p12', 'P12_IS_PEM', 'import: { certificate: FILE, key: FILE }'],
  ['07-empty.pem', 'PEM_EMPTY', 'has 0 bytes'],
  ['11-certificate.der', 'PEM_WRONG_KIND', 'it is a CERTIFICATE, expected PKCS12'],
  ['11-certificate.der', 'PEM_WRONG_KIND', 'import: { certificate: FILE, key: FILE }'],
] as const) {
  test(`${name} is refused with ${code}: ${fact}`, () => {
    const { code: actual, text } = refusal(() => readPkcs12(vector(name), { file, password: passphrase }))
    assert.equal(actual, code)
    assert.ok(text.includes(fact), text)
  })
}

test('no cut of a container opens', () => {
  const whole = vector('28-modern.p12')
  for (let length = 1; length < whole.length; length += 97) {
    assert.equal(
      refusal(() => readPkcs12(whole.subarray(0, length), { file, password: passphrase })).code,
      'P12_DAMAGED',
    )
  }
})

for (const [format, algorithm, options] of [
  ['modern', /AES-256-CBC, Iteration 50000, PRF hmacWithSHA256/, []],
  ['legacy', /pbeWithSHA1And3-KeyTripleDES-CBC/, ['-legacy']],
] as const) {
  test(`openssl reads what we write in the ${format} format: key, certificates, names, algorithms`, () => {
    const password = new Secret('pässword ✓ "quoted"')
    const path = join(work, `${format}.p12`)
    writeFileSync(path, writePkcs12({ key, chain, password, friendlyName: 'www bücher', format }))
    writeFileSync(join(work, 'password'), `${password.reveal()}\n`)
    const args = ['pkcs12', '-in', path, '-passin', `file:${join(work, 'password')}`, '-nodes', ...options]
    const env = { ...process.env, LC_ALL: 'C.UTF-8' }
    const text = execFileSync('openssl', args, { encoding: 'utf8', env, stdio: ['ignore', 'pipe', 'ignore'] })
    assert.deepEqual(
      parseCertificates(Buffer.from(text), { file }).map(({ pem }) => pem),
      chain.map(({ pem }) => pem),
    )
    assert.equal(spkiOf(parsePrivateKey(Buffer.from(text), { file })), spkiOf(key))
    assert.match(text, /friendlyName: www b/)
    assert.equal(text.match(/localKeyID/g)?.length, 2)
    const info = execFileSync('sh', ['-c', 'openssl "$@" -info -noout 2>&1', 'sh', ...args], { encoding: 'utf8', env })
    assert.match(info, algorithm)
    const back = readPkcs12(writePkcs12({ key, chain, password, format }), { file, password })
    assert.equal(spkiOf(back.key), spkiOf(key))
    assert.deepEqual(back.certificates, chain)
  })
}

test('an RSA key goes through a container as well', () => {
  const rsa = parsePrivateKey(vector('key-pkcs1.key'), { file })
  const back = readPkcs12(writePkcs12({ key: rsa, chain, password: passphrase }), { file, password: passphrase })
  assert.equal(spkiOf(back.key), spkiOf(rsa))
})

test('a container never holds the key in clear', () => {
  const secret = key.reveal().export({ format: 'jwk' }).d
  for (const format of ['modern', 'legacy'] as const) {
    const written = Buffer.from(writePkcs12({ key, chain, password: passphrase, format }))
    assert.equal(written.indexOf(Buffer.from(String(secret), 'base64url')), -1)
  }
})
