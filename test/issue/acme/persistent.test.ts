import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readAuthorization } from '../../../src/issue/acme/challenge.ts'
import { readDirectory } from '../../../src/issue/acme/directory.ts'
import { persistentBeforeOrder, persistentChallenge } from '../../../src/issue/acme/persistent.ts'
import type { Answer } from '../../../src/issue/acme/transport.ts'

const answer = (document: unknown): Answer => ({
  url: 'https://ca.example/',
  status: 200,
  headers: { 'content-type': 'application/json' },
  body: Buffer.from(JSON.stringify(document)),
})
const url = 'https://ca.example/acct/123'
const account = { url, thumbprints: ['key'] } as const
const wanted = { name: 'domain.example', wildcard: false }
const prefix = 'https://ca.example/account-hash/'
const ten = Array.from({ length: 10 }, (_, at) => `ca${at}.example`)

function metaOf(meta: object) {
  const urls = ['newNonce', 'newAccount', 'newOrder', 'revokeCert', 'keyChange']
  const directory = { ...Object.fromEntries(urls.map((name) => [name, `https://ca.example/${name}`])), meta }
  return readDirectory(answer(directory), { issuer: 'lab', directoryUrl: 'https://ca.example/dir' }).meta
}

/** The terms of a dns-persist-01 challenge beside one that is answered by token. */
function termsOf(fields: object) {
  const challenges = [
    { type: 'dns-persist-01', url: 'https://ca.example/1', status: 'pending', ...fields },
    { type: 'dns-01', url: 'https://ca.example/2', status: 'pending', token: 'abc' },
  ]
  const document = { status: 'pending', identifier: { type: 'dns', value: 'domain.example' }, challenges }
  const read = readAuthorization(answer(document), 'lab', 'https://ca.example/authz', 0)
  assert.equal(read.challenges[1]?.token, 'abc')
  return read.challenges[0]?.persist ?? null
}

test('the challenge of each draft is read, and one that no draft allows is no obstacle to another challenge', () => {
  const names = ['authority.example']
  assert.deepEqual(termsOf({ issuerDomainNames: names }), {
    issuerDomainNames: names,
    hashed: true,
    accountUri: null,
  })
  const plain = { issuerDomainNames: names, hashed: false }
  assert.deepEqual(termsOf({ 'issuer-domain-names': names, accounturi: url }), { ...plain, accountUri: url })
  assert.deepEqual(termsOf({ 'issuer-domain-names': names }), { ...plain, accountUri: null })
  // What a record cannot hold is not taken for a part of one.
  for (const accounturi of ['https://ca.example/1; policy=wildcard', 'a" "b', 7])
    assert.deepEqual(termsOf({ 'issuer-domain-names': names, accounturi }), { ...plain, accountUri: null })
  assert.equal(termsOf({ issuerDomainNames: ten })?.issuerDomainNames.length, 10)
  for (const wrong of [undefined, [], [...ten, 'ca10.example'], ['CA.example'], ['ca.example.'], ['a b'], [7], 'ca'])
    assert.equal(termsOf({ issuerDomainNames: wrong }), null, JSON.stringify(wrong))
  assert.equal(termsOf({ issuerDomainNames: [`${'a.'.repeat(124)}example`] }), null)
})

test('a challenge that does not fit the directory of its CA is not taken, with the reason', () => {
  const meta = metaOf({
    issuerDomainNames: ['b.example'],
    caaIdentities: ['A.example.', 'b.example'],
    accountHashPrefix: prefix,
  })
  const challenge = (names: [string, ...string[]], at = meta) =>
    persistentChallenge(wanted, { issuerDomainNames: names, hashed: true, accountUri: null }, at, account)
  assert.deepEqual(challenge(['a.example', 'b.example']), {
    ...wanted,
    type: 'dns-persist-01',
    issuerDomains: ['a.example', 'b.example'],
    account: { kind: 'hash', prefix, ...account },
  })
  assert.match(String(challenge(['a.example'])), /has the issuer domain name b\.example, the challenge does not/)
  assert.match(String(challenge(['b.example', 'c.example'])), /c\.example is not among its CAA identities/)
  assert.match(String(challenge(['b.example'], metaOf({ issuerDomainNames: ['b.example'] }))), /no accountHashPrefix/)
  assert.equal(typeof challenge(['c.example'], metaOf({ accountHashPrefix: prefix })), 'object')
})

test('before an order the directory tells: its issuer domain names, else its CAA identities with the URL of the account', () => {
  const before = (meta: object) => persistentBeforeOrder(wanted, metaOf(meta), account)
  const of = (issuerDomains: readonly string[], binding: object) => ({
    ...wanted,
    type: 'dns-persist-01',
    issuerDomains,
    account: binding,
  })
  const byHash = { kind: 'hash', prefix, ...account }
  const names = ['a.example', 'b.example']
  assert.deepEqual(
    before({ issuerDomainNames: names, accountHashPrefix: prefix, caaIdentities: ten }),
    of(names, byHash),
  )
  assert.deepEqual(before({ caaIdentities: names }), of(names, { kind: 'url', url }))
  for (const unclear of [
    {},
    { issuerDomainNames: [], accountHashPrefix: prefix, caaIdentities: names },
    { issuerDomainNames: [...ten, 'ca10.example'], accountHashPrefix: prefix },
    { accountHashPrefix: prefix },
  ])
    assert.equal(before(unclear), null, JSON.stringify(unclear))
})
