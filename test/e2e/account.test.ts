import assert from 'node:assert/strict'
import { createPrivateKey, type KeyObject } from 'node:crypto'
import { join } from 'node:path'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Secret } from '../../src/base/secret.ts'
import type { AcmeClient } from '../../src/issue/acme/client.ts'
import { accounts } from '../../src/issue/acme/registration.ts'
import { openStore } from '../../src/store/sqlite.ts'
import { openIdentity } from '../../src/vault/identity.ts'
import { openVault } from '../../src/vault/vault.ts'
import { refusalOf } from '../base/refusals.ts'
import { clientOf } from '../issue/acme/account-at.ts'
import { askCa } from '../real/acme-fleet.ts'
import { type AcmeProxy, path, startAcmeProxy, unavailable } from '../real/acme-proxy.ts'
import { type FleetDocument, type RealFleet, startFleet } from '../real/fleet.ts'
import { type Pebble, startPebble } from '../real/pebble.ts'

const httpPort = 5002
let pebble: Pebble
let proxy: AcmeProxy
let fleet: RealFleet

before(async () => {
  pebble = await startPebble({ nonceRejectPercent: 0, httpPort })
  proxy = await startAcmeProxy(pebble)
  fleet = await startFleet({ 'eu-1': { kind: 'nginx', httpPort } })
  await atCa()
})
beforeEach(() => proxy.clear())
after(async () => {
  await fleet?.[Symbol.asyncDispose]()
  await proxy?.stop()
  await pebble?.stop()
})

const atCa = (change?: (document: FleetDocument) => void) =>
  askCa(fleet, { pebble, directoryUrl: proxy.directoryUrl, httpPort, ...(change && { change }) })
const asked = (begin: string) => proxy.seen.filter(path(begin)).length

interface Shown {
  readonly issuer: string
  readonly directory: string
  readonly url: string
  readonly status: string
  readonly contact: readonly string[]
  readonly thumbprint: string
}

/** A client of ours with the account key that is noted now, as it lies in the vault. */
async function clientNow(): Promise<AcmeClient> {
  const state = join(fleet.directory, 'state')
  const store = await openStore(state)
  const noted = await accounts(store).read('lab')
  await store.close()
  assert.ok(noted?.url)
  const identity = await openIdentity(join(state, 'identity'), {
    passphrase: () => Promise.reject(new Error('it has none')),
  })
  const pem = await openVault(join(state, 'vault'), identity).get('acme..lab', noted.spki)
  return clientOf(proxy, { accountKey: new Secret<KeyObject>(createPrivateKey(pem.reveal())), accountUrl: noted.url })
}

async function until(condition: () => boolean): Promise<void> {
  for (let tries = 0; !condition(); tries++) {
    assert.ok(tries < 1_500, 'it did not come to that in 15 s')
    await sleep(10)
  }
}

test('account registers once, and shows what the CA has: text for people, JSON for programs', async () => {
  const plain = await fleet.run('account', 'lab')
  assert.equal(plain.exit, 0, plain.stderr)
  const shown = await fleet.run.json<Shown>('account', 'lab')
  assert.equal(asked('/sign-me-up'), 1)
  const there = await (await clientNow()).account()
  assert.deepEqual(
    { ...shown, thumbprint: shown.thumbprint.length },
    {
      ...{ issuer: 'lab', directory: proxy.directoryUrl, url: there.url, status: 'valid' },
      ...{ contact: ['mailto:ops@lab.example'], thumbprint: 43, profiles: {}, records: [] },
      termsOfService: (await clientOf(proxy).directory()).meta.termsOfService ?? null,
    },
  )
  for (const line of [
    'lab: valid',
    `  directory   ${proxy.directoryUrl}`,
    `  account     ${there.url}`,
    '  contact     mailto:ops@lab.example',
    `  thumbprint  ${shown.thumbprint}`,
  ])
    assert.ok(plain.stdout.split('\n').includes(line), `${line}\n${plain.stdout}`)
})

test('--contact tells the CA the addresses of the fleet file', async () => {
  await atCa((document) => {
    document.issuers.lab.email = ['tls@lab.example', 'ops@lab.example']
  })
  const contact = ['mailto:tls@lab.example', 'mailto:ops@lab.example']
  assert.deepEqual((await (await clientNow()).account()).contact, ['mailto:ops@lab.example'])
  assert.deepEqual((await fleet.run.json<Shown>('account', 'lab', '--contact')).contact, contact)
  assert.deepEqual((await (await clientNow()).account()).contact, contact)
  await atCa()
})

test('--rollover: the account stays, the CA takes the new key and knows the old one no more', async () => {
  const before = await fleet.run.json<Shown>('account', 'lab')
  const old = await clientNow()
  const rolled = await fleet.run.json<Shown>('account', 'lab', '--rollover')
  assert.deepEqual({ ...rolled, thumbprint: '' }, { ...before, thumbprint: '' })
  assert.notEqual(rolled.thumbprint, before.thumbprint)
  assert.equal((await (await clientNow()).account()).status, 'valid')
  assert.equal((await refusalOf(() => old.account())).code, 'ACME_REFUSED')
  assert.equal(old.keyAuthorization(''), `.${before.thumbprint}`)
  assert.equal((await fleet.run('issue', 'www')).exit, 0)
})

test('--rollover while a run issues: it is refused before the CA hears of it, and the run ends well', async () => {
  const { thumbprint } = await fleet.run.json<Shown>('account', 'lab')
  proxy.inject({ on: path('/finalize-order/'), deed: unavailable(4) })
  const before = asked('/finalize-order/')
  const { ended } = fleet.run.start('issue', 'www', '--force')
  await until(() => asked('/finalize-order/') > before)
  for (const change of ['--rollover', '--deactivate']) {
    const { exit, stderr } = await fleet.run('account', 'lab', change)
    assert.equal(exit, 75, stderr)
    assert.match(stderr, /LEASE_HELD.*www/)
  }
  const { exit, stderr } = await ended
  assert.equal(exit, 0, stderr)
  assert.deepEqual(await fleet.run.json<Shown>('account', 'lab').then((shown) => [shown.status, shown.thumbprint]), [
    'valid',
    thumbprint,
  ])
  assert.equal((await fleet.run('account', 'lab', '--rollover')).exit, 0)
})

test('a run, a look and a revocation while the key is changed: they are refused, and go on afterwards', async () => {
  const orders = asked('/order-plz')
  const before = asked('/rollover-account-key')
  proxy.inject({ on: path('/rollover-account-key'), deed: unavailable(12) })
  const { ended } = fleet.run.start('account', 'lab', '--rollover')
  await until(() => asked('/rollover-account-key') > before)
  const others = [
    ['issue', '--force'],
    ['account', 'lab'],
    ['revoke', 'www', '--reason', 'superseded'],
  ]
  for (const { exit, stderr } of await Promise.all(others.map((words) => fleet.run(...words)))) {
    assert.equal(exit, 75, stderr)
    assert.match(stderr, /LEASE_HELD/)
  }
  assert.deepEqual([asked('/order-plz'), asked('/revoke-cert')], [orders, 0])
  const { exit, stderr } = await ended
  assert.equal(exit, 0, stderr)
  assert.equal((await (await clientNow()).account()).status, 'valid')
  for (const words of others) assert.equal((await fleet.run(...words)).exit, 0, words.join(' '))
})

test('--deactivate is for ever: the CA takes nothing from that key any more; the next certificate comes to another account', async () => {
  const before = await fleet.run.json<Shown>('account', 'lab')
  const old = await clientNow()
  const { exit, stdout, stderr } = await fleet.run('account', 'lab', '--deactivate')
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /^lab: deactivated\n/)
  const refused = await refusalOf(() => old.newOrder({ names: ['www.lab.example'] }))
  assert.equal(refused.code, 'ACME_ACCOUNT_DEACTIVATED', refused.failure.fact)
  assert.equal((await fleet.run('issue', 'www', '--force')).exit, 0)
  const next = await fleet.run.json<Shown>('account', 'lab')
  assert.notEqual(next.url, before.url)
  assert.notEqual(next.thumbprint, before.thumbprint)
})

test('what is no ACME issuer, two changes at once, and a snippet with a change are refused, and the CA hears nothing', async () => {
  const seen = proxy.seen.length
  for (const [words, said] of [
    [['lap'], /did you mean "lab"\?/],
    [['lab', '--rollover', '--deactivate'], /--rollover and --deactivate are two things/],
    [['lab', '--snippet', 'nginx', '--rollover'], /cannot be used with option/],
    [['lab', '--snippet', 'iis'], /Allowed choices are nginx, apache, haproxy/],
  ] as const) {
    const { exit, stderr } = await fleet.run('account', ...words)
    assert.equal(exit, 64, stderr)
    assert.match(stderr, said)
  }
  assert.equal(proxy.seen.length, seen)
})
