import assert from 'node:assert/strict'
import { createHash, createPublicKey } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Finding } from '../../src/audit/finding.ts'
import type { Sold } from '../authority.ts'
import { path, startAcmeProxy } from '../real/acme-proxy.ts'
import { type BindKey, startBind, updateZone } from '../real/bind.ts'
import { type RealFleet, siteName, startFleet } from '../real/fleet.ts'
import { startPebble } from '../real/pebble.ts'

const key: BindKey = { name: 'onecert', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'k').toString('base64') }
const root = { name: '.', servers: [{ name: 'ns1.lab.example', address: '127.0.0.1' }] }

async function found(fleet: RealFleet): Promise<readonly Finding[]> {
  const { stdout, stderr } = await fleet.run('audit', '--json')
  assert.notEqual(stdout, '', stderr)
  return (JSON.parse(stdout) as { findings: Finding[] }).findings
}
const reasons = async (fleet: RealFleet) => (await found(fleet)).map(({ reason }) => reason)

const spkiOf = ({ keyPem }: Sold) =>
  createHash('sha256')
    .update(createPublicKey(keyPem).export({ type: 'spki', format: 'der' }))
    .digest('hex')

test('a new key is served while TLSA still names the old one: found, until the record of the new one is published', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const { address, port } = fleet.server('eu-1').service
  const first = await fleet.buy()
  const owner = `_${port}._tcp.${siteName}`
  await using bind = await startBind({
    keys: [key],
    recursion: true,
    zones: [
      {
        name: 'lab.example',
        types: ['A', 'AAAA', 'TXT', 'TLSA'],
        records: [`www 60 A ${address}`, `${owner}. 60 TLSA 3 1 1 ${spkiOf(first)}`],
      },
      root,
    ],
  })
  const keyFile = await bind.keyFile(key)
  await fleet.configure((document) => {
    document.zones = {
      'lab.example': {
        rfc2136: { server: bind.server, 'key-file': keyFile },
        resolvers: [bind.server],
        port: bind.port,
      },
    }
  })
  const applied = await fleet.run('apply')
  assert.equal(applied.exit, 0, applied.stderr)
  assert.deepEqual(await reasons(fleet), [])

  const second = await fleet.buy()
  const renewed = await fleet.run('apply')
  assert.equal(renewed.exit, 0, renewed.stderr)
  const [finding, ...others] = await found(fleet)
  assert.deepEqual(
    [finding?.reason, finding?.severity, finding?.place, others],
    ['tlsa-mismatch', 'critical', owner, []],
  )
  assert.equal(finding?.expected, `3 1 1 ${spkiOf(first).slice(0, 8)} at ns1.lab.example`)
  const right = `TLSA 3 1 1 ${spkiOf(second)}`
  assert.ok(finding?.repair.endsWith(right), finding?.repair)

  await updateZone(bind, key, `add ${owner}. 60 ${right}`)
  assert.deepEqual(await reasons(fleet), [])
  await updateZone(bind, key, `delete ${owner}. ${right}`)
  assert.deepEqual(await reasons(fleet), ['tlsa-mismatch'])
  await updateZone(bind, key, `delete ${owner}. TLSA`)
  assert.deepEqual(await reasons(fleet), [])
})

test('a CAA record that forbids the CA of a certificate is found before its renewal fails', async () => {
  await using bind = await startBind({
    keys: [key],
    recursion: true,
    zones: [{ name: 'lab.example', types: ['TXT', 'CAA'], keys: [key.name] }, root],
  })
  const pebble = await startPebble({ dnsServer: bind.server, nonceRejectPercent: 0 })
  const ca = await startAcmeProxy(pebble)
  // Pebble's directory does not say whose CAA records it takes for its own.
  ca.inject({ on: path('/dir'), times: 1_000, deed: { kind: 'change', body: withCaaIdentity } })
  try {
    await using fleet = await startFleet({ 'eu-1': 'nginx' })
    const trust = join(fleet.directory, 'ca.pem')
    await writeFile(trust, pebble.trust)
    const update = { rfc2136: { server: bind.server, 'key-file': await bind.keyFile(key) } }
    await fleet.configure((document) => {
      document.issuers = {
        lab: {
          acme: ca.directoryUrl,
          'ca-file': trust,
          'dns-01': { ...update, resolvers: [bind.server], port: bind.port, within: '5s' },
        },
      }
      document.certificates = { www: { names: [siteName], issuer: 'lab' } }
    })
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
    const posts = () => ca.seen.filter(({ method }) => method === 'POST').length
    const before = posts()
    assert.deepEqual(await reasons(fleet), [])
    await updateZone(bind, key, 'add lab.example. 60 CAA 0 issue "another.example"')
    const [finding, ...others] = await found(fleet)
    assert.deepEqual([finding?.reason, finding?.severity, others], ['caa-forbids', 'warning', []])
    assert.equal(finding?.repair, 'add a record such as: lab.example CAA 0 issue "ca.example"')
    assert.match(finding?.served ?? '', /^CAA at lab\.example: 0 issue "another\.example"/)
    const renewal = await fleet.run('renew', 'www', '--force')
    assert.match(renewal.stderr, /CAA_FORBIDS/)
    await updateZone(bind, key, 'add lab.example. 60 CAA 0 issue "ca.example"')
    assert.deepEqual(await reasons(fleet), [])
    assert.equal(posts(), before, 'an audit asks the CA for nothing but its directory')
    await ca.clear()
    ca.inject({ on: path('/dir'), deed: { kind: 'refuse' } })
    const { exit: silent, stdout } = await fleet.run('audit')
    assert.equal(silent, 2)
    assert.match(stdout, /unreachable {2}lab\n {2}whether CAA lets lab issue again could not be seen: /)
  } finally {
    await ca.stop()
    await pebble.stop()
  }
})

function withCaaIdentity(json: string): string {
  const directory = JSON.parse(json) as { meta: object }
  return JSON.stringify({ ...directory, meta: { ...directory.meta, caaIdentities: ['ca.example'] } })
}
