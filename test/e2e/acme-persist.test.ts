import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { digTxt } from '../issue/dns/lookup.ts'
import type { AcmeProxy } from '../real/acme-proxy.ts'
import { type BindKey, type RunningBind, startBind, updateZone } from '../real/bind.ts'
import { type FleetDocument, type RealFleet, startFleet } from '../real/fleet.ts'
import { type Pebble, startPebble } from '../real/pebble.ts'
import { issuerDomain, startPersistCa } from '../real/persist-ca.ts'

interface Shown {
  readonly url: string
  readonly records: readonly { readonly name: string; readonly value: string }[] | null
}

const key: BindKey = { name: 'operator', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'o').toString('base64') }

let bind: RunningBind
let pebble: Pebble
/** As draft -02 and as -00 describe it: no CA was at hand that does. */
let newer: AcmeProxy
let older: AcmeProxy
let fleet: RealFleet

before(async () => {
  bind = await startBind({
    keys: [key],
    recursion: true,
    zones: [{ name: 'lab.example' }, { name: '.', servers: [{ name: 'ns1.lab.example', address: '127.0.0.1' }] }],
  })
  pebble = await startPebble({ alwaysValid: true, nonceRejectPercent: 0 })
  newer = await startPersistCa({ pebble, dns: bind, draft: '02' })
  older = await startPersistCa({ pebble, dns: bind, draft: '00' })
  fleet = await startFleet({ 'eu-1': 'nginx' })
})

after(async () => {
  await fleet[Symbol.asyncDispose]()
  for (const ca of [newer, older]) await ca.stop()
  await pebble.stop()
  await bind.stop()
})

/** What somebody does who may change the zone. */
const operator = (...updates: readonly string[]) => updateZone(bind, key, ...updates)

/** The names as the lineage `www`, from these CAs. */
async function wanted(
  names: readonly string[],
  cas: Readonly<Record<string, string>>,
  otherWays: object = {},
): Promise<void> {
  const trust = join(fleet.directory, 'ca.pem')
  await writeFile(trust, pebble.trust)
  const persist = { resolvers: [bind.server], port: bind.port }
  await fleet.configure((document: FleetDocument) => {
    document.issuers = Object.fromEntries(
      Object.entries(cas).map(([name, acme]) => [
        name,
        { acme, 'ca-file': trust, 'dns-persist-01': persist, ...otherWays },
      ]),
    )
    document.certificates = { www: { names, issuer: Object.keys(cas)[0] } }
  })
}

const names = ['lab.example', '*.lab.example', 'www.lab.example']
const told = (ca: AcmeProxy) =>
  ca.seen.filter(({ path, payload }) => path.startsWith('/chalZ/') && payload !== undefined).length
const linesOf = (text: string) => text.split('\n').filter((line) => line.startsWith('_validation-persist.'))

test('without the records the CA is not told to look; with the lines that are printed it issues, and they stay', async () => {
  await wanted(names, { lab: newer.directoryUrl })
  const served = await fleet.server('eu-1').served()
  const refused = await fleet.run('apply')
  assert.equal(refused.exit, 78)
  assert.match(refused.stderr, /DNS_RECORD_MISSING/)
  assert.match(refused.stderr, /ns1\.lab\.example \(127\.0\.0\.1\): no TXT record \(NXDOMAIN\)/)
  assert.equal(told(newer), 0)
  assert.equal(await fleet.server('eu-1').served(), served)

  const { stdout } = await fleet.run('account', 'lab')
  const lines = linesOf(stdout)
  assert.deepEqual(
    lines.map((line) => line.replace(/sha-256\/[\w-]{43}/, 'sha-256/HASH').replace(/https:.*account-hash/, 'PREFIX')),
    [
      `_validation-persist.lab.example. TXT "${issuerDomain}; accounturi=PREFIX/sha-256/HASH; policy=wildcard"`,
      `_validation-persist.www.lab.example. TXT "${issuerDomain}; accounturi=PREFIX/sha-256/HASH"`,
    ],
  )
  for (const line of lines) assert.ok(refused.stderr.includes(line), refused.stderr)
  const { records } = await fleet.run.json<Shown>('account', 'lab')
  assert.deepEqual(
    records?.map(({ name, value }) => `${name}. TXT "${value}"`),
    lines,
  )

  await operator(...lines.map((line) => `add ${line.replace(' TXT ', ' 60 TXT ')}`))
  const { exit, stderr } = await fleet.run('issue', 'www', '--force')
  assert.equal(exit, 0, stderr)
  const applied = await fleet.run('apply')
  assert.equal(applied.exit, 0, applied.stderr)
  assert.notEqual(await fleet.server('eu-1').served(), served)
  for (const { name, value } of records ?? []) assert.deepEqual(await digTxt(bind, name), [value])
})

test('after a change of the account key the records still stand, and count', async () => {
  const before = (await fleet.run.json<Shown>('account', 'lab')).records
  assert.equal((await fleet.run('account', 'lab', '--rollover')).exit, 0)
  const { records } = await fleet.run.json<Shown>('account', 'lab')
  assert.notDeepEqual(records, before)
  const { exit, stderr } = await fleet.run('issue', 'www', '--force')
  assert.equal(exit, 0, stderr)
})

test('a renewal is rehearsed with the records that stand, without an order', async () => {
  const orders = () => newer.seen.filter(({ path }) => path === '/order-plz').length
  const before = orders()
  const rehearsed = await fleet.run('renew', 'www', '--force', '--dry-run')
  assert.equal(rehearsed.exit, 0, rehearsed.stderr)
  await operator('delete _validation-persist.lab.example TXT')
  const missing = await fleet.run('renew', 'www', '--force', '--dry-run')
  assert.match(missing.stderr, /DNS_RECORD_MISSING/)
  assert.equal(missing.exit, 78)
  assert.equal(orders(), before)
})

test('one record above, with policy=wildcard, is enough for a CA of draft -02', async () => {
  const { records } = await fleet.run.json<Shown>('account', 'lab')
  await operator(
    'delete _validation-persist.www.lab.example TXT',
    `add _validation-persist.lab.example 60 TXT "${records?.[0]?.value}"`,
  )
  const { exit, stderr } = await fleet.run('issue', 'www', '--force')
  assert.equal(exit, 0, stderr)
})

test('a CA of draft -00 gets the URL of the account; a record that has ended is told with its end', async () => {
  await wanted(['www.lab.example'], { old: older.directoryUrl })
  const { url, records } = await fleet.run.json<Shown>('account', 'old')
  const value = `${issuerDomain}; accounturi=${url}`
  assert.deepEqual(records, [{ name: '_validation-persist.www.lab.example', value }])
  await operator(`add _validation-persist.www.lab.example 60 TXT "${value};persistUntil=1767225600"`)
  const ended = await fleet.run('issue', 'www', '--force')
  assert.match(ended.stderr, /persistUntil=1767225600": it ended at 2026-01-01T00:00:00Z/)
  assert.equal(told(older), 0)
  await operator(`add _validation-persist.www.lab.example 60 TXT "second.example" ";accounturi=${url}"`)
  const { exit, stderr } = await fleet.run('issue', 'www', '--force')
  assert.equal(exit, 0, stderr)
  assert.equal(told(older), 1)
})

test('with several ways this one is taken where the CA offers it, and another one where not', async () => {
  // Nothing answers there.
  await wanted(['www.lab.example'], { lab: newer.directoryUrl }, { 'http-01': { webroot: '/nowhere', port: 9 } })
  const { records } = await fleet.run.json<Shown>('account', 'lab')
  await operator(`add _validation-persist.www.lab.example 60 TXT "${records?.[0]?.value}"`)
  const here = await fleet.run('issue', 'www', '--force')
  assert.equal(here.exit, 0, here.stderr)
  const rfc2136 = { server: bind.server, 'key-file': await bind.keyFile(key) }
  const update = { rfc2136, resolvers: [bind.server], port: bind.port }
  await wanted(['www.lab.example'], { plain: pebble.directoryUrl }, { 'dns-01': update })
  const there = await fleet.run('issue', 'www', '--force')
  assert.equal(there.exit, 0, there.stderr)
})

test('a CA that does not offer it is told so', async () => {
  await wanted(['www.lab.example'], { plain: pebble.directoryUrl })
  const { exit, stderr } = await fleet.run('issue', 'www', '--force')
  assert.match(stderr, /ACME_NO_CHALLENGE/)
  assert.match(stderr, /the CA offers [^;]*dns-01[^;]*; the issuer has dns-persist-01/)
  assert.equal(exit, 78)
  assert.equal((await fleet.run.json<Shown>('account', 'plain')).records, null)
  assert.deepEqual((await fleet.run.json<Shown>('account', 'plain', '--deactivate')).records, [])
})
