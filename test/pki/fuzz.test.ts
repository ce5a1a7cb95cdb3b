import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OnecertError } from '../../src/base/errors.ts'
import { assessBundle } from '../../src/pki/bundle.ts'
import { parseCertificate, parseCertificates } from '../../src/pki/certificate.ts'
import { assessKey, parsePrivateKey } from '../../src/pki/key.ts'
import { parsePem, writePem } from '../../src/pki/pem.ts'
import { readPkcs12 } from '../../src/pki/pkcs12.ts'
import { nowMs, passphrase, vector } from './vectors.ts'

const file = 'fuzz'
const key = parsePrivateKey(vector('good.key'), { file })

const readers: readonly ((bytes: Uint8Array) => unknown)[] = [
  (bytes) => parsePem(Buffer.from(bytes).toString('latin1'), { file }),
  (bytes) => parseCertificate(bytes, { file }),
  (bytes) =>
    assessBundle(
      { certificates: parseCertificates(bytes, { file }), key },
      { names: ['a.example'], nowMs, anchors: [] },
    ),
  (bytes) => assessKey(parsePrivateKey(bytes, { file, passphrase })),
  (bytes) => readPkcs12(bytes, { file, password: passphrase }),
]

function readsOrRefuses(bytes: Uint8Array): void {
  for (const read of readers) {
    try {
      read(bytes)
    } catch (thrown) {
      if (!(thrown instanceof OnecertError)) throw thrown
      assert.notEqual(thrown.code, 'INTERNAL')
    }
  }
}

test('random bytes are refused with a code, never with a crash', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), readsOrRefuses), { numRuns: 200 })
})

test('damaged certificates, keys and containers are refused with a code, never with a crash', () => {
  const seeds = [
    '11-certificate.der',
    '11-key.der',
    '17-pkcs8-aes.der',
    '28-modern.p12',
    '31-legacy-rc2.p12',
    'good.pem',
  ].map(vector)
  const damage = fc.record({
    seed: fc.constantFrom(...seeds),
    flips: fc.array(fc.tuple(fc.nat(), fc.nat({ max: 255 })), { minLength: 1, maxLength: 4 }),
    cut: fc.option(fc.nat(), { freq: 4 }),
    armoured: fc.option(fc.constantFrom('CERTIFICATE', 'PRIVATE KEY', 'ENCRYPTED PRIVATE KEY', 'RSA PRIVATE KEY'), {
      freq: 3,
    }),
  })
  fc.assert(
    fc.property(damage, ({ seed, flips, cut, armoured }) => {
      const bytes = Uint8Array.from(seed)
      for (const [at, value] of flips) bytes[at % bytes.length] = value
      const shortened = cut === null ? bytes : bytes.subarray(0, cut % bytes.length)
      readsOrRefuses(armoured && shortened.length > 0 ? Buffer.from(writePem(armoured, shortened)) : shortened)
    }),
    { numRuns: 2000 },
  )
})
