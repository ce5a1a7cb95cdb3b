import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { parseCertificates } from '../../src/pki/certificate.ts'
import { digTxt } from '../issue/dns/lookup.ts'
import { type AcmeProxy, path, startAcmeProxy } from '../real/acme-proxy.ts'
import { type BindKey, type RunningBind, startBind } from '../real/bind.ts'
import { nsupdateProgram } from '../real/dns-program.ts'
import { type DnsRelay, startDnsRelay } from '../real/dns-relay.ts'
import { type FleetDocument, type RealFleet, startFleet } from '../real/fleet.ts'
import { type Pebble, startPebble } from '../real/pebble.ts'
import { chooseEndpoint } from '../real/running.ts'

const key: BindKey = { name: 'onecert', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'k').toString('base64') }
const caaIdentity = 'ca.example'

/** lab.example with its primary; stale.example, whose second name server never gets anything. */
let primary: RunningBind
let frozen: RunningBind
let ns2: DnsRelay
let pebble: Pebble
let ca: AcmeProxy
let fleet: RealFleet

before(async () => {
  const { address: second } = await chooseEndpoint({})
  const stale = [
    { name: 'ns1.stale.example', address: '127.0.0.1' },
    { name: 'ns2.stale.example', address: second },
  ]
  const delegation = '_acme-challenge.shop CNAME _acme-challenge.shop.delegated.example.'
  primary = await startBind({
    keys: [key],
    recursion: true,
    zones: [
      { name: 'lab.example', records: [delegation], keys: [key.name] },
      { name: 'delegated.example' },
      { name: 'stale.example', servers: stale },
      { name: 'forbidden.example', records: ['@ CAA 0 issue "another.example"'] },
      { name: '.', servers: [{ name: 'ns1.lab.example', address: '127.0.0.1' }] },
    ],
  })
  frozen = await startBind({ zones: [{ name: 'stale.example', servers: stale }] })
  ns2 = await startDnsRelay(frozen, (response) => response, { address: second, port: primary.port })
  pebble = await startPebble({ dnsServer: primary.server, nonceRejectPercent: 0 })
  ca = await startAcmeProxy(pebble)
  // Pebble's directory does not say whose CAA records it takes for its own.
  ca.inject({ on: path('/dir'), times: 1_000, deed: { kind: 'change', body: withCaaIdentity } })
  fleet = await startFleet({ 'eu-1': 'nginx' })
})

after(async () => {
  await fleet[Symbol.asyncDispose]()
  await ca.stop()
  await pebble.stop()
  await ns2[Symbol.asyncDispose]()
  await frozen.stop()
  await primary.stop()
})

function withCaaIdentity(json: string): string {
  const directory = JSON.parse(json) as { meta: object }
  return JSON.stringify({ ...directory, meta: { ...directory.meta, caaIdentities: [caaIdentity] } })
}

const orders = () => ca.seen.filter(({ path }) => path === '/order-plz').length

const byUpdate = async () => ({ rfc2136: { server: primary.server, 'key-file': await primary.keyFile(key) } })

/** The names as a lineage of their own, from Pebble by dns-01. */
async function wanted(
  lineage: string,
  names: readonly string[],
  provider: object,
  other: Record<string, unknown> = {},
): Promise<void> {
  const trust = join(fleet.directory, 'ca.pem')
  await writeFile(trust, pebble.trust)
  await fleet.configure((document: FleetDocument) => {
    document.issuers = {
      lab: {
        acme: ca.directoryUrl,
        'ca-file': trust,
        ...other,
        'dns-01': { ...provider, resolvers: [primary.server], port: primary.port, within: '5s' },
      },
    }
    document.certificates = {
      www: { names: ['lab.example', '*.lab.example'], issuer: 'lab' },
      ...(lineage !== 'www' && { [lineage]: { names, issuer: 'lab' } }),
    }
  })
}

/** The names of the certificate that the server has on its disk. */
async function namesOnDisk(): Promise<string[]> {
  const [file = ''] = fleet.server('eu-1').paths
  const [leaf] = parseCertificates(await readFile(file), { file })
  return [...(leaf?.names ?? [])].sort()
}

test('a name and all below it in one certificate, proved by two values at one name, are rolled out and proven with one command', async () => {
  await wanted('www', [], await byUpdate())
  const { exit, stdout, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /generation 1 issued/)
  const server = fleet.server('eu-1')
  assert.equal(await server.served(), await server.onDisk())
  assert.notEqual(await server.served(), server.original)
  assert.deepEqual(await namesOnDisk(), ['*.lab.example', 'lab.example'])
  assert.deepEqual(await digTxt(primary, '_acme-challenge.lab.example'), [])
})

const posts = () => ca.seen.filter(({ method }) => method === 'POST').length

/** How often the zone was changed. */
async function serial(zone: string): Promise<number> {
  const words = ['+short', '+norecurse', '-p', String(primary.port), `@${primary.address}`, zone, 'SOA']
  return Number((await promisify(execFile)('dig', words)).stdout.split(' ')[2])
}

test('a rehearsal writes the records, sees them at each name server and takes them away; the CA hears nothing', async () => {
  // A name without a site is proved by DNS, although http-01 comes first.
  const http = { 'http-01': { webroot: '/nowhere', port: 1 } }
  await wanted('tried', ['tried.lab.example', '*.tried.lab.example'], await byUpdate(), http)
  const seen = ca.seen.length
  const before = await serial('lab.example')
  const { exit, stdout, stderr } = await fleet.run('renew', 'tried', '--dry-run')
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /tried: lab would be asked for a new certificate, because there is none yet/)
  assert.match(stdout, /lab was not asked; .*: tried\.lab\.example \(dns-01\), \*\.tried\.lab\.example \(dns-01\)/)
  assert.ok((await serial('lab.example')) >= before + 4, 'two values were added and taken away')
  assert.deepEqual(await digTxt(primary, '_acme-challenge.tried.lab.example'), [])
  const told = await fleet.run.json('renew', 'tried', '--dry-run')
  assert.deepEqual(told, {
    certificates: [
      {
        certificate: 'tried',
        generation: null,
        wanted: 'there is none yet',
        due: null,
        rehearsals: [
          {
            issuer: 'lab',
            proofs: [
              { name: 'tried.lab.example', type: 'dns-01' },
              { name: '*.tried.lab.example', type: 'dns-01' },
            ],
          },
        ],
      },
    ],
  })
  assert.equal(ca.seen.length, seen)
  const issued = await fleet.run('issue', 'tried')
  assert.equal(issued.exit, 0, issued.stderr)
})

test('a rehearsal says what a renewal would fail with: a name server that never gets the record, and a key that may not write', async () => {
  const seen = posts()
  await wanted('stale', ['www.stale.example'], await byUpdate())
  const stale = await fleet.run('renew', 'stale', '--dry-run')
  assert.equal(stale.exit, 69, stale.stderr)
  assert.match(stale.stderr, /DNS_NOT_PROPAGATED/)
  assert.ok(stale.stderr.includes(`ns2.stale.example (${ns2.address})`), stale.stderr)
  assert.deepEqual(await digTxt(primary, '_acme-challenge.www.stale.example'), [])
  const other = { ...key, secret: Buffer.alloc(32, 'x').toString('base64') }
  await wanted('tried', ['tried.lab.example'], {
    rfc2136: { server: primary.server, 'key-file': await primary.keyFile(other) },
  })
  const before = await serial('lab.example')
  const refused = await fleet.run('renew', 'tried', '--dry-run', '--force')
  assert.equal(refused.exit, 77, refused.stderr)
  assert.match(refused.stderr, /DNS_TSIG_BAD/)
  assert.equal(await serial('lab.example'), before)
  // It may ask when the CA wants a renewal; that needs no account.
  assert.equal(posts(), seen)
})

test('a program of one’s own writes the records and takes them away', async () => {
  const program = await nsupdateProgram(fleet.directory, primary, key)
  await wanted('program', ['program.lab.example'], { exec: [program.file, 'first-word'] })
  const { exit, stderr } = await fleet.run('issue', 'program')
  assert.equal(exit, 0, stderr)
  assert.deepEqual(
    (await program.calls()).map(({ words, name, zone }) => ({ words, name, zone })),
    ['add', 'remove'].map((act) => ({
      words: `first-word ${act}`,
      name: '_acme-challenge.program.lab.example',
      zone: 'lab.example',
    })),
  )
  assert.deepEqual(await digTxt(primary, '_acme-challenge.program.lab.example'), [])
})

test('a program that fails ends it: its words are shown, no server is touched, and the next order is made as if nothing had been', async () => {
  const file = join(fleet.directory, 'broken')
  await writeFile(file, '#!/bin/sh\necho "no credentials for $ONECERT_DNS_ZONE" >&2\nexit 1\n', { mode: 0o755 })
  await wanted('broken', ['broken.lab.example'], { exec: [file] })
  const served = await fleet.server('eu-1').served()
  const { exit, stderr } = await fleet.run('issue', 'broken')
  assert.match(stderr, /DNS_PROVIDER_FAILED/)
  assert.match(stderr, /no credentials for lab\.example/)
  assert.equal(exit, 69)
  assert.equal(await fleet.server('eu-1').served(), served)
  await wanted('broken', ['broken.lab.example'], await byUpdate())
  const mended = await fleet.run('issue', 'broken', '--force')
  assert.equal(mended.exit, 0, mended.stderr)
})

test('a name whose _acme-challenge is delegated by CNAME is proved where that leads', async () => {
  await wanted('shop', ['shop.lab.example'], await byUpdate())
  const { exit, stderr } = await fleet.run('issue', 'shop')
  assert.equal(exit, 0, stderr)
  for (const zone of ['lab', 'delegated']) {
    assert.deepEqual(await digTxt(primary, `_acme-challenge.shop.${zone}.example`), [])
  }
})

test('a name server that never gets the record is named; the CA is not told to look, and nothing is left', async () => {
  await wanted('stale', ['www.stale.example'], await byUpdate())
  const served = await fleet.server('eu-1').served()
  const told = () => ca.seen.filter(({ path, payload }) => path.startsWith('/chalZ/') && payload !== undefined).length
  const before = told()
  const { exit, stderr } = await fleet.run('issue', 'stale')
  assert.match(stderr, /DNS_NOT_PROPAGATED/)
  assert.ok(stderr.includes(`ns2.stale.example (${ns2.address})`), stderr)
  assert.ok(!stderr.includes('ns1.stale.example ('), stderr)
  assert.equal(exit, 69)
  assert.equal(told(), before)
  assert.deepEqual(await digTxt(primary, '_acme-challenge.www.stale.example'), [])
  assert.equal(await fleet.server('eu-1').served(), served)
})

test('a CAA record that names another CA is found before this one is asked for an order', async () => {
  await wanted('forbidden', ['www.forbidden.example'], await byUpdate())
  const before = orders()
  const { exit, stderr } = await fleet.run('issue', 'forbidden')
  assert.match(stderr, /CAA_FORBIDS/)
  assert.match(stderr, /CAA at forbidden\.example: 0 issue "another\.example": not ca\.example/)
  assert.equal(exit, 78)
  assert.equal(orders(), before)
  assert.deepEqual(await digTxt(primary, '_acme-challenge.www.forbidden.example'), [])
})

test('a certificate for another key and other names, in the place of the one that was ordered, is not stored', async () => {
  await wanted('swapped', ['swapped.lab.example'], await byUpdate())
  const another = await readFile(join(fleet.directory, 'bought', 'leaf.pem'), 'utf8')
  ca.inject({ on: path('/certZ/'), deed: { kind: 'change', body: () => another } })
  const served = await fleet.server('eu-1').served()
  const { exit, stderr } = await fleet.run('issue', 'swapped')
  assert.match(stderr, /what lab issued for swapped cannot be used/)
  assert.match(stderr, /it was not stored, and no server was touched/)
  assert.equal(exit, 65)
  const { certificates } = await fleet.run.json<{ certificates: { certificate: string; generation: unknown }[] }>(
    'status',
  )
  assert.deepEqual(
    certificates.filter(({ certificate }) => certificate === 'swapped').map(({ generation }) => generation),
    [null],
  )
  assert.equal(await fleet.server('eu-1').served(), served)
})
