import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseCertificates, type X509 } from '../../src/pki/certificate.ts'
import { buildChain, checkChainOrder, defaultAnchors } from '../../src/pki/chain.ts'
import { refusal, vector } from './vectors.ts'

const file = 'site.pem'
const read = (name: string) => parseCertificates(vector(name), { file })
const only = (name: string): X509 => {
  const [certificate] = read(name)
  assert.ok(certificate)
  return certificate
}
const leaf = only('good.pem')
const intermediate = only('intermediate.pem')
const root = only('root.pem')
const commonNames = (certificates: readonly X509[]) => certificates.map(({ subjectCommonName }) => subjectCommonName)

test('a chain is put in sending order from any order, and the root is left out', () => {
  const [deep, ...pool] = read('deep-shuffled.pem')
  assert.ok(deep)
  fc.assert(
    fc.property(fc.shuffledSubarray([deep, ...pool], { minLength: 4 }), (shuffled) => {
      const built = buildChain(deep, shuffled)
      assert.deepEqual(commonNames(built.chain), ['www.vectors.test', 'Vectors Second', 'Vectors R11'])
      assert.equal(built.root?.fingerprint, root.fingerprint)
      assert.deepEqual(built.unused, [])
    }),
    { numRuns: 24 },
  )
})

test('a leaf alone is incomplete: the missing issuer is named, and where it may be found', () => {
  const { code, text } = refusal(() => buildChain(leaf, []))
  assert.equal(code, 'CHAIN_INCOMPLETE')
  assert.match(text, /issuer "Vectors R11" is missing; clients will fail/)
  assert.match(text, /http:\/\/ca\.vectors\.example\/intermediate\.der/)
})

test('a leaf alone is complete where its issuer is an anchor', () => {
  const built = buildChain(leaf, [], [intermediate])
  assert.deepEqual([commonNames(built.chain), built.root, built.anchored], [['www.vectors.test'], intermediate, true])
})

test('with anchors given, a chain that reaches none is incomplete', () => {
  assert.equal(refusal(() => buildChain(leaf, [intermediate], defaultAnchors())).code, 'CHAIN_INCOMPLETE')
  assert.equal(buildChain(leaf, [intermediate], [root]).anchored, true)
})

test('without anchors a private root is taken for what it is, and marked', () => {
  const built = buildChain(leaf, [intermediate])
  assert.deepEqual([commonNames(built.chain), built.anchored], [['www.vectors.test', 'Vectors R11'], false])
})

test('without anchors, the public roots that Node knows are looked at', () => {
  const anchor = defaultAnchors()[0]
  assert.ok(anchor)
  assert.equal(buildChain(anchor, []).anchored, true)
})

test('a foreign intermediate is named, with both numbers', () => {
  const [, foreign] = read('04-foreign-intermediate.pem')
  assert.ok(foreign)
  const { code, text } = refusal(() => buildChain(leaf, [leaf, foreign]))
  assert.equal(code, 'CHAIN_BROKEN')
  assert.match(text, /certificate 2 "Foreign CA" did not sign certificate 1 \(issuer "Vectors R11"\)/)
})

test('an intermediate with the right name and another key is not believed', () => {
  const { code, text } = refusal(() => buildChain(leaf, read('04-lookalike-intermediate.pem')))
  assert.equal(code, 'CHAIN_BROKEN')
  assert.match(text, /has the issuer's name, but did not sign certificate 1/)
})

test('a leaf cannot issue, even where it signed', () => {
  const [byLeaf, ...pool] = read('signed-by-leaf.pem')
  assert.ok(byLeaf)
  assert.equal(refusal(() => buildChain(byLeaf, pool)).code, 'CHAIN_BROKEN')
})

test('what has no place in the chain is handed back', () => {
  const [, foreign] = read('04-foreign-intermediate.pem')
  assert.ok(foreign)
  assert.deepEqual(buildChain(leaf, [foreign, intermediate]).unused, [foreign])
})

test('the lookalike beside the real intermediate does not get in its way', () => {
  const [, lookalike] = read('04-lookalike-intermediate.pem')
  assert.ok(lookalike)
  const built = buildChain(leaf, [lookalike, intermediate])
  assert.equal(built.chain[1]?.fingerprint, intermediate.fingerprint)
})

test('a self-signed leaf is its own chain', () => {
  const own = only('self-signed.pem')
  const built = buildChain(own, [])
  assert.deepEqual([built.chain, built.root, built.anchored], [[own], undefined, false])
})

test('a pool that holds each certificate many times costs no more', () => {
  const pool = Array.from({ length: 2000 }, () => [intermediate, root]).flat()
  assert.deepEqual(commonNames(buildChain(leaf, pool).chain), ['www.vectors.test', 'Vectors R11'])
})

test('the right order passes', () => {
  assert.doesNotThrow(() => checkChainOrder(read('good.pem')))
  assert.doesNotThrow(() => checkChainOrder(read('06-root-included.pem')))
})

test('an intermediate before the leaf is named, and the number of the leaf', () => {
  const { code, text } = refusal(() => checkChainOrder(read('02-intermediate-first.pem')))
  assert.equal(code, 'CHAIN_ORDER')
  assert.match(text, /first certificate is the intermediate "Vectors R11"; leaf is number 2/)
  assert.match(text, /put the leaf first/)
  assert.doesNotMatch(text, /--/)
})

test('intermediates in the wrong order are named', () => {
  const { code, text } = refusal(() => checkChainOrder(read('deep-shuffled.pem')))
  assert.equal(code, 'CHAIN_ORDER')
  assert.match(text, /certificate 1 "www\.vectors\.test" was signed by number 4, but number 2 "Vectors Root" follows/)
})
