import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import { judgeChain, readServed } from '../../src/audit/chain.ts'
import { parseCertificates, type X509 } from '../../src/pki/certificate.ts'
import { createAuthority } from '../authority.ts'

const one = (pem: string): X509 => {
  const [certificate] = parseCertificates(Buffer.from(pem), { file: 'test' })
  return certificate ?? assert.fail('no certificate')
}

describe('the chain as it was sent', () => {
  let leaf: X509
  let intermediate: X509
  let root: X509
  let crossed: X509
  let otherRoot: X509
  let stranger: X509

  before(async () => {
    const [authority, other] = [await createAuthority(), await createAuthority('Other')]
    leaf = one((await authority.sell({ names: ['www.domain.example'] })).leafPem)
    intermediate = one(authority.intermediatePem)
    root = one(authority.rootPem)
    crossed = one(await other.crossSign(authority.intermediatePem))
    otherRoot = one(other.rootPem)
    stranger = one(other.intermediatePem)
  })

  const judged = (...sent: readonly X509[]) => {
    const wanted = [leaf, intermediate].map(({ fingerprint }) => fingerprint)
    const read = readServed(sent.map(({ der }) => der))
    return judgeChain(
      sent.map(({ fingerprint }) => fingerprint),
      wanted,
      read,
    ).map(({ reason }) => reason)
  }

  test('as it was issued: nothing', () => assert.deepEqual(judged(leaf, intermediate), []))
  test('the leaf alone, also with its root, which signs no leaf', () => {
    assert.deepEqual(judged(leaf), ['incomplete-chain'])
    assert.deepEqual(judged(leaf, root), ['incomplete-chain', 'chain-foreign'])
  })
  test('the root too', () => assert.deepEqual(judged(leaf, intermediate, root), ['chain-with-root']))
  test('another intermediate with the same key, instead and beside', () => {
    assert.deepEqual(judged(leaf, crossed), ['other-chain'])
    assert.deepEqual(judged(leaf, intermediate, crossed), ['other-chain'])
    assert.deepEqual(judged(leaf, crossed, otherRoot), ['other-chain', 'chain-with-root'])
  })
  test('a certificate of another CA, behind the right ones and instead of them', () => {
    assert.deepEqual(judged(leaf, intermediate, stranger), ['chain-foreign'])
    assert.deepEqual(judged(leaf, intermediate, otherRoot), ['chain-foreign'])
    assert.deepEqual(judged(leaf, stranger), ['incomplete-chain', 'chain-foreign'])
  })
  test('the right ones in another order', () => {
    const third = crossed
    const wanted = [leaf, intermediate, third].map(({ fingerprint }) => fingerprint)
    const sent = [leaf, third, intermediate]
    const found = judgeChain(
      sent.map(({ fingerprint }) => fingerprint),
      wanted,
      sent,
    )
    assert.deepEqual(
      found.map(({ reason }) => reason),
      ['chain-order'],
    )
    assert.deepEqual(judged(leaf, stranger, intermediate), ['chain-foreign'])
  })
  test('one that cannot be read is foreign', () => {
    const sent = [leaf.fingerprint, intermediate.fingerprint, 'junk']
    const read = readServed([leaf.der, intermediate.der, Buffer.from('junk')])
    assert.deepEqual(
      judgeChain(sent, sent.slice(0, 2), read).map(({ reason }) => reason),
      ['chain-foreign'],
    )
  })
})
