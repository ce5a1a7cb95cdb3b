import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { Secret } from '../../../src/base/secret.ts'
import type { AcmeClient } from '../../../src/issue/acme/client.ts'
import { makeCsr } from '../../../src/issue/acme/csr.ts'
import { acmeProblemOf, refusal } from '../../../src/issue/acme/problem.ts'
import type { AcmeOrder, Authorization, Challenge } from '../../../src/issue/acme/resources.ts'
import { settledAuthorization, settledOrder } from '../../../src/issue/acme/settled.ts'
import { issued, parseCertificates, type X509 } from '../../../src/pki/certificate.ts'
import { generatePrivateKey, spkiOf } from '../../../src/pki/key.ts'
import { refusalOf } from '../../base/refusals.ts'
import { type Pebble, startPebble } from '../../real/pebble.ts'
import { accountAt, clientOf, waiting } from './account-at.ts'

const file = { file: 'the answer' }
const register = { contact: [] }
let pebble: Pebble

before(async () => {
  pebble = await startPebble({ chainLength: 2, alternateRoots: 1, blockedNames: ['blocked.example'] })
})
after(() => pebble.stop())

function dnsChallenge({ challenges }: Authorization): Challenge & { token: string } {
  const found = challenges.find(({ type }) => type === 'dns-01')
  assert.ok(found?.token)
  return { ...found, token: found.token }
}

/** Puts the TXT record where the CA looks (RFC 8555 section 8.4), tells it to look, and takes the record away. */
async function prove(client: AcmeClient, url: string, value?: string): Promise<Authorization> {
  const authorization = await client.authorization(url)
  const challenge = dnsChallenge(authorization)
  const record = `_acme-challenge.${authorization.name}`
  const digest = createHash('sha256').update(client.keyAuthorization(challenge.token)).digest('base64url')
  await pebble.setTxt(record, value ?? digest)
  try {
    await client.respond(challenge.url)
    return await settledAuthorization(client, url, waiting)
  } finally {
    await pebble.clearTxt(record)
  }
}

async function ready(client: AcmeClient, names: readonly string[]): Promise<AcmeOrder> {
  const order = await client.newOrder({ names })
  for (const url of order.authorizations) assert.equal((await prove(client, url)).status, 'valid')
  return settledOrder(client, order.url, waiting)
}

async function issue(client: AcmeClient, names: readonly string[]): Promise<X509[]> {
  const order = await ready(client, names)
  await client.finalize(order, makeCsr(names, generatePrivateKey('ec-p256')))
  const { certificate } = await settledOrder(client, order.url, waiting)
  return parseCertificates(Buffer.from((await client.certificate(certificate ?? '')).pem), file)
}

test('a CA that refuses half of all good nonces issues for names and a wildcard, proved by DNS', async () => {
  const client = await accountAt(pebble)
  const key = generatePrivateKey('ec-p256')
  const names = ['www.lab.example', '*.shop.lab.example']
  const order = await ready(client, names)
  assert.deepEqual([order.status, order.names.toSorted()], ['ready', names.toSorted()])
  assert.ok((order.expiresAtMs ?? 0) > Date.now())
  const finalized = await client.finalize(order, makeCsr(names, key))
  assert.match(finalized.status, /^(processing|valid)$/)
  const valid = await settledOrder(client, order.url, waiting)
  const { pem, alternates } = await client.certificate(valid.certificate ?? '')
  const [leaf, ...chain] = parseCertificates(Buffer.from(pem), file)
  assert.equal(leaf?.spki, spkiOf(key))
  assert.deepEqual(leaf?.names.toSorted(), names.toSorted())
  assert.equal(alternates.length, 1)
  const other = parseCertificates(Buffer.from((await client.certificate(alternates[0] ?? '')).pem), file)
  const roots = (await pebble.roots()).flatMap((root) => parseCertificates(Buffer.from(root), file))
  for (const [at, intermediates] of [chain, other.slice(1)].entries()) {
    const root = roots[at]
    const last = intermediates.at(-1)
    assert.ok(root && last && issued(root, last), `chain ${at} ends below root ${at}`)
  }
})

for (const type of ['ec-p384', 'rsa-2048'] as const) {
  test(`an account with a key of type ${type} is registered and orders`, async () => {
    const client = await accountAt(pebble, { accountKey: generatePrivateKey(type) })
    assert.equal((await client.newOrder({ names: ['a.example'] })).status, 'pending')
  })
}

test('the same key again has the account that is there, registered or only asked for', async () => {
  const accountKey = generatePrivateKey('ec-p256')
  const first = await clientOf(pebble, { accountKey }).register({ ...register, contact: ['mailto:ops@lab.example'] })
  assert.deepEqual([first.status, first.contact], ['valid', ['mailto:ops@lab.example']])
  assert.deepEqual(await clientOf(pebble, { accountKey }).register(register), first)
  assert.deepEqual(await clientOf(pebble, { accountKey }).account(), first)
  assert.deepEqual(await clientOf(pebble, { accountKey, accountUrl: first.url }).account(), first)
})

test('a contact is changed', async () => {
  const client = await accountAt(pebble)
  assert.deepEqual((await client.updateContact(['mailto:new@lab.example'])).contact, ['mailto:new@lab.example'])
  assert.deepEqual((await client.account()).contact, ['mailto:new@lab.example'])
})

test('an account URL of nobody is unknown', async () => {
  const accountUrl = new URL('/my-account/1', pebble.directoryUrl).href
  const error = await refusalOf(() => clientOf(pebble, { accountUrl }).newOrder({ names: ['a.example'] }))
  assert.equal(error.code, 'ACME_ACCOUNT_UNKNOWN')
})

test('after a change of the key the old one is nobody, and the new one has the account', async () => {
  const [accountKey, next] = [generatePrivateKey('ec-p256'), generatePrivateKey('ec-p256')]
  const client = await accountAt(pebble, { accountKey })
  const { url } = await client.account()
  const before = client.keyAuthorization('t')
  await client.changeKey(next)
  assert.equal((await client.account()).url, url)
  assert.notEqual(client.keyAuthorization('t'), before)
  assert.equal((await clientOf(pebble, { accountKey: next }).account()).url, url)
  assert.equal((await refusalOf(() => clientOf(pebble, { accountKey }).account())).code, 'ACME_ACCOUNT_UNKNOWN')
})

test('a key change that fails leaves the account with its own key', async () => {
  const taken = generatePrivateKey('ec-p256')
  await accountAt(pebble, { accountKey: taken })
  const client = await accountAt(pebble)
  // Pebble says 500 where RFC 8555 section 7.3.5 has 409.
  const error = await refusalOf(() => client.changeKey(taken))
  assert.match(error.failure.fact ?? '', /^500 serverInternal: .*already in use/)
  assert.equal((await client.account()).status, 'valid')
})

test('a deactivated account does nothing any more, and is not registered again', async () => {
  const client = await accountAt(pebble)
  await client.deactivate()
  for (const act of [
    client.account,
    () => client.newOrder({ names: ['a.example'] }),
    () => client.register(register),
  ]) {
    assert.equal((await refusalOf(act)).code, 'ACME_ACCOUNT_DEACTIVATED')
  }
})

test('a wrong TXT record fails the challenge: the name, and what the CA saw', async () => {
  const client = await accountAt(pebble)
  const order = await client.newOrder({ names: ['wrong.lab.example'] })
  const authorization = await prove(client, order.authorizations[0] ?? '', '\x1b[31mold value')
  assert.equal(authorization.status, 'invalid')
  const { problem } = dnsChallenge(authorization)
  assert.ok(problem)
  const error = refusal({ issuer: 'pebble', asked: 'trust wrong.lab.example', problem, place: 'validation' })
  assert.equal(error.code, 'ACME_CHALLENGE_FAILED')
  assert.doesNotMatch(error.failure.fact ?? '', /\x1b/)
  assert.equal((await settledOrder(client, order.url, waiting)).status, 'invalid')
})

test('an authorization that was deactivated is of no use', async () => {
  const client = await accountAt(pebble)
  const { authorizations } = await client.newOrder({ names: ['left.lab.example'] })
  const [url = ''] = authorizations
  await client.deactivateAuthorization(url)
  assert.equal((await client.authorization(url)).status, 'deactivated')
})

test('a name that the policy of the CA forbids is refused, and no order is there', async () => {
  const client = await accountAt(pebble)
  const error = await refusalOf(() => client.newOrder({ names: ['www.blocked.example'] }))
  assert.equal(error.code, 'ACME_UNSUPPORTED_IDENTIFIER')
  assert.match(error.failure.what, /^pebble refuses to make an order for www\.blocked\.example$/)
})

test('an order that is not ready is not finalized', async () => {
  const client = await accountAt(pebble)
  const order = await client.newOrder({ names: ['early.lab.example'] })
  const csr = makeCsr(['early.lab.example'], generatePrivateKey('ec-p256'))
  const error = await refusalOf(() => client.finalize(order, csr))
  assert.deepEqual([error.code, acmeProblemOf(error)?.problem.type], ['ACME_REFUSED', 'orderNotReady'])
  assert.equal((await client.order(order.url)).status, 'pending')
})

test('a certificate is revoked once; the second time the CA says that it is', async () => {
  const client = await accountAt(pebble)
  const [leaf] = await issue(client, ['gone.lab.example'])
  assert.ok(leaf)
  await client.revoke(leaf.der, 4)
  const error = await refusalOf(() => client.revoke(leaf.der, 4))
  assert.equal(acmeProblemOf(error)?.problem.type, 'alreadyRevoked')
})

test('a certificate of another account is not revoked', async () => {
  const [leaf] = await issue(await accountAt(pebble), ['theirs.lab.example'])
  const stranger = await accountAt(pebble)
  const error = await refusalOf(() => stranger.revoke(leaf?.der ?? new Uint8Array(), 0))
  assert.equal(acmeProblemOf(error)?.problem.type, 'unauthorized')
  assert.equal(error.code, 'ACME_REFUSED')
})

test('a CA that wants external account binding takes the right key alone', async () => {
  const hmacKey = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W'
  await using bound = await startPebble({ eab: { 'kid-1': hmacKey } })
  const register = (eab?: { kid: string; hmacKey: Secret<string> }) =>
    clientOf(bound).register({ contact: [], ...(eab && { eab }) })
  assert.equal((await register({ kid: 'kid-1', hmacKey: new Secret(hmacKey) })).status, 'valid')
  assert.equal((await refusalOf(() => register())).code, 'ACME_EAB_REQUIRED')
  const wrong = await refusalOf(() => register({ kid: 'kid-1', hmacKey: new Secret(hmacKey.toLowerCase()) }))
  assert.equal(wrong.code, 'ACME_REFUSED')
  const damaged = await refusalOf(() => register({ kid: 'kid-1', hmacKey: new Secret('not Base64 …') }))
  assert.equal(damaged.code, 'CONFIG_BAD_VALUE')
  assert.doesNotMatch(JSON.stringify(damaged), /not Base64 …/)
})
