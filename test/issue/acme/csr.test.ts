import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { test } from 'node:test'
import { Secret } from '../../../src/base/secret.ts'
import { makeCsr } from '../../../src/issue/acme/csr.ts'
import { generatePrivateKey, type KeyType } from '../../../src/pki/key.ts'
import { refusalOf } from '../../base/refusals.ts'

const types: readonly (readonly [KeyType, string])[] = [
  ['ec-p256', 'ecdsa-with-SHA256'],
  ['ec-p384', 'ecdsa-with-SHA384'],
  ['rsa-2048', 'sha256WithRSAEncryption'],
]
for (const [type, algorithm] of types) {
  test(`openssl verifies a request with a key of type ${type}, and reads the names and no subject`, () => {
    const csr = makeCsr(['www.example.org', '*.shop.example.org'], generatePrivateKey(type))
    const words = ['req', '-inform', 'DER', '-verify', '-noout', '-text', '-nameopt', 'RFC2253']
    const { status, stdout, stderr } = spawnSync('openssl', words, { input: csr, encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    assert.match(stderr + stdout, /self-signature verify OK/)
    assert.match(stdout, /Version: 1 \(0x0\)\n\s+Subject: *\n/)
    assert.match(stdout, /DNS:www\.example\.org, DNS:\*\.shop\.example\.org\n/)
    assert.ok(stdout.includes(`Signature Algorithm: ${algorithm}`), stdout)
  })
}

test('a key that public CAs do not sign makes no request', async () => {
  const key = new Secret(generateKeyPairSync('ed25519').privateKey)
  const error = await refusalOf(() => makeCsr(['www.example.org'], key))
  assert.equal(error.code, 'KEY_UNSUPPORTED_BY_CA')
})
