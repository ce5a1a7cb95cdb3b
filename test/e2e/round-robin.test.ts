import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash, createPublicKey } from 'node:crypto'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { parse } from 'yaml'
import type { Entry } from '../../src/ledger/entry.ts'
import type { KeyCopy } from '../../src/ledger/keycopies.ts'
import type { Sold } from '../authority.ts'
import type { Ended } from '../onecert.ts'
import { type FleetDocument, type RealFleet, type RealServer, siteName, startFleet } from '../real/fleet.ts'
import { type PublishedZone, startPublishedZone } from '../real/published-zone.ts'

const run = promisify(execFile)

let fleet: RealFleet
let zone: PublishedZone
let sold: Sold
let eu1: RealServer
let us1: RealServer
let ap1: RealServer

before(async () => {
  fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx', 'ap-1': 'nginx' })
  ;[eu1, us1, ap1] = ['eu-1', 'us-1', 'ap-1'].map((name) => fleet.server(name)) as [RealServer, RealServer, RealServer]
  zone = await startPublishedZone([eu1, us1].map(({ service }) => `www 3 A ${service.address}`))
})

after(async () => {
  await zone[Symbol.asyncDispose]()
  await fleet[Symbol.asyncDispose]()
})

/** eu-1 and us-1 with the certificate, in the DNS; ap-1 with what it had, as if it were new. */
async function twoServers(change: (document: FleetDocument) => void = () => {}): Promise<void> {
  await fleet.configure((document) => {
    document.zones = { 'lab.example': zone.settings }
    document.sites[siteName].dns = ['eu-1', 'us-1']
    change(document)
  })
  sold = await fleet.buy()
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
}

const record = async () => (await fleet.run.json<{ entries: Entry[] }>('ledger', '--last', '10000')).entries
const written = async () => parse(await readFile(fleet.fleetFile, 'utf8')) as FleetDocument
const add = (...words: string[]) => fleet.run('server', 'add', 'ap-1', '--site', siteName, ...words)
const remove = (...words: string[]) => fleet.run('server', 'remove', 'ap-1', '--yes', ...words)

/** Every set of addresses that the primary had while something ran, and what ap-1 served when its own came first. */
async function watched(work: () => Promise<Ended>) {
  const sets: string[][] = []
  let servedAtFirst: string | null = null
  let over = false
  const watch = (async () => {
    while (!over) {
      const addresses = await zone.addresses(siteName)
      if (addresses.join() !== sets.at(-1)?.join()) sets.push(addresses)
      if (servedAtFirst === null && addresses.includes(ap1.service.address)) servedAtFirst = await ap1.served()
      await sleep(10)
    }
  })()
  const ended = await work()
  over = true
  await watch
  return { ...ended, sets, servedAtFirst: servedAtFirst as string | null }
}

/** Files on the server with a line of the key in them. */
async function filesWithKey(server: string, { keyPem }: Sold): Promise<string[]> {
  const line = keyPem.split('\n')[1] ?? ''
  assert.ok(line.length > 40)
  const found = run('grep', ['-rlF', '--', line, join(fleet.directory, server)])
  return found.then(
    ({ stdout }) => stdout.trim().split('\n'),
    () => [],
  )
}

/** Paths of the copies of a key that the ledger knows. */
async function copiesOn(name: string, { keyPem }: Sold): Promise<string[]> {
  const spki = createHash('sha256')
    .update(createPublicKey(keyPem).export({ type: 'spki', format: 'der' }))
    .digest('hex')
  const { keyCopies } = await fleet.run.json<{ keyCopies: KeyCopy[] }>('ledger', 'keys')
  return keyCopies.filter((copy) => copy.server === name && copy.spki === spki).map(({ path }) => path)
}

const seqOf = (entries: readonly Entry[], effect: string, phase: string, server = 'ap-1') =>
  entries.findLast((entry) => entry.effect === effect && entry.phase === phase && entry.server === server)?.seq ?? 0

test('a server that cannot be proven is never published, nor one whose host key nobody confirmed', async () => {
  await twoServers((document) => {
    document.servers['ap-1'].service.nginx.reload = ['true']
  })
  const { service } = ap1
  const broken = await watched(() => add())
  assert.equal(broken.exit, 69, broken.stderr)
  assert.match(broken.stderr, /VERIFY_OLD_CERTIFICATE/)
  assert.match(broken.stderr, /ap-1 was not published in the DNS/)
  assert.equal(broken.servedAtFirst, null)
  assert.ok(!broken.sets.flat().includes(service.address))
  assert.equal(seqOf(await record(), 'publish', 'intent'), 0)

  await fleet.configure((document) => {
    document.zones = { 'lab.example': zone.settings }
    document.sites[siteName].dns = ['eu-1', 'us-1']
    document.servers['ap-1'] = undefined
  })
  const comment = '# written by a person\n'
  const text = comment + (await readFile(fleet.fleetFile, 'utf8'))
  await writeFile(fleet.fleetFile, text)
  const words = [
    '--address',
    service.address,
    '--port',
    String(service.port),
    '--service',
    'nginx',
    '--location',
    'tokyo',
  ]
  const { address, port, user, clientKey } = ap1.sshd
  const ssh = ['--ssh', `${user}@${address}`, '--ssh-port', String(port), '--identity-file', clientKey]
  const dry = await add('--dry-run', ...words, ...ssh)
  assert.equal(dry.exit, 0, dry.stderr)
  assert.match(dry.stdout, new RegExp(`then, in the zone lab.example at .*: ${siteName}. A ${service.address}`))
  assert.equal(await readFile(fleet.fleetFile, 'utf8'), text)

  const unknown = await watched(() => add(...words, ...ssh))
  assert.equal(unknown.exit, 77, unknown.stderr)
  assert.match(unknown.stderr, /SSH_HOST_KEY_UNKNOWN/)
  assert.ok(!unknown.sets.flat().includes(service.address))
  assert.ok((await readFile(fleet.fleetFile, 'utf8')).startsWith(comment))
  const { servers, sites } = await written()
  assert.deepEqual(servers['ap-1'], {
    ssh: { destination: `${user}@${address}`, port, identity: clientKey },
    address: service.address,
    port: service.port,
    location: 'tokyo',
    service: 'nginx',
  })
  assert.deepEqual(sites[siteName].dns, ['eu-1', 'us-1', 'ap-1'])
  // What was copied before the proof failed is in the record.
  assert.deepEqual(await filesWithKey('ap-1', sold), await copiesOn('ap-1', sold))
})

test('a new server gets the certificate, is proven, and only then is in the DNS, at every name server', async () => {
  await twoServers()
  const added = await watched(() => add())
  assert.equal(added.exit, 0, added.stderr)
  assert.equal(added.servedAtFirst, sold.fingerprint, 'it served the certificate when its address appeared')
  const [eu, us, ap] = [eu1, us1, ap1].map(({ service }) => service.address) as [string, string, string]
  assert.deepEqual(added.sets, [[eu, us].sort(), [eu, us, ap].sort()])
  assert.deepEqual(await zone.addresses(siteName, 'secondary'), [eu, us, ap].sort())
  assert.match(added.stdout, new RegExp(`ap-1: ${ap} is published in ${siteName}`))
  const entries = await record()
  assert.ok(seqOf(entries, 'commit', 'outcome') < seqOf(entries, 'publish', 'intent'))
  assert.ok(seqOf(entries, 'publish', 'intent') < seqOf(entries, 'publish', 'outcome'))

  const again = await add()
  assert.equal(again.exit, 0, again.stderr)
  assert.match(again.stdout, /\(it had it\)/)
  const different = await add('--address', '192.0.2.99')
  assert.equal(different.exit, 73)
  assert.match(different.stderr, /SERVER_EXISTS/)
})

test('a server leaves the DNS first, keeps its copy while its address may be remembered, and then holds no file with the key', async () => {
  assert.equal((await filesWithKey('ap-1', sold)).length, 1)
  const removed = await watched(() => remove())
  assert.equal(removed.exit, 0, removed.stderr)
  const [eu, us, ap] = [eu1, us1, ap1].map(({ service }) => service.address) as [string, string, string]
  assert.deepEqual(removed.sets, [[eu, us, ap].sort(), [eu, us].sort()])
  assert.deepEqual(await zone.addresses(siteName, 'secondary'), [eu, us].sort())
  assert.match(removed.stderr, /resolvers may remember .* for 3 s more/)
  assert.match(removed.stdout, /no file with the key is left \(\d key copies purged; every file was looked at\)/)
  assert.match(removed.stdout, /its service still has the key in its memory/)
  assert.deepEqual(await filesWithKey('ap-1', sold), [])
  for (const path of ap1.paths) assert.ok(!existsSync(path), path)

  const entries = await record()
  const [withdraw, purge] = ['withdraw', 'purge'].map((effect) =>
    entries.findLast(
      (entry) =>
        entry.effect === effect &&
        entry.server === 'ap-1' &&
        entry.phase === (effect === 'purge' ? 'intent' : 'outcome'),
    ),
  )
  assert.ok(withdraw && purge && purge.atMs - withdraw.atMs >= 3_000, 'the TTL has passed between them')
  const { keyCopies } = await fleet.run.json<{ keyCopies: { server: string }[] }>('ledger', 'keys')
  assert.deepEqual([...new Set(keyCopies.map(({ server }) => server))].sort(), ['eu-1', 'us-1'])
  const { servers, sites } = await written()
  assert.deepEqual(Object.keys(servers), ['eu-1', 'us-1'])
  assert.deepEqual(sites[siteName].dns, ['eu-1', 'us-1'])
  const again = await remove()
  assert.equal(again.exit, 0, again.stderr)
  assert.equal((await fleet.run('apply')).exit, 0)
})

/** Runs it until it says something, kills it -9 there, and runs it again, to the end. */
async function killedAt(line: RegExp, ...words: string[]): Promise<Ended> {
  const { child, ended } = fleet.run.start(...words)
  child.stderr?.on('data', (text: string) => {
    if (line.test(text)) child.kill('SIGKILL')
  })
  const { stderr } = await ended
  assert.equal(child.signalCode, 'SIGKILL', stderr)
  return fleet.run(...words)
}

const addWords = ['server', 'add', 'ap-1', '--site', siteName]
const removeWords = ['server', 'remove', 'ap-1', '--yes']

for (const [added, removed] of [
  [/written to/, /is out of/],
  [/wave 1 of 1/, /may remember/],
  [/at the primary/, /no file with a key/],
] as const) {
  test(`killed -9 at "${added.source}" and at "${removed.source}", the same command goes on to the same end`, async () => {
    await twoServers()
    const up = await killedAt(added, ...addWords)
    assert.equal(up.exit, 0, up.stderr)
    assert.equal(await ap1.served(), sold.fingerprint)
    const [eu, us, ap] = [eu1, us1, ap1].map(({ service }) => service.address) as [string, string, string]
    assert.deepEqual(await zone.addresses(siteName), [eu, us, ap].sort())
    const from = (await record()).at(-1)?.seq ?? 0

    const down = await killedAt(removed, ...removeWords)
    assert.equal(down.exit, 0, down.stderr)
    assert.deepEqual(await zone.addresses(siteName), [eu, us].sort())
    assert.deepEqual(await filesWithKey('ap-1', sold), [])
    assert.deepEqual(await copiesOn('ap-1', sold), [])
    assert.deepEqual((await written()).sites[siteName].dns, ['eu-1', 'us-1'])
    const entries = (await record()).filter(({ seq }) => seq > from)
    const withdrawn = entries.find(({ effect, phase }) => effect === 'withdraw' && phase === 'outcome')
    const purged = entries.find(({ effect }) => effect === 'purge')
    assert.ok(withdrawn && purged && purged.atMs - withdrawn.atMs >= 3_000)
  })
}

test('a file with the key that somebody copied stops the removal; a server that is gone is recorded as lost', async () => {
  await twoServers()
  assert.equal((await add()).exit, 0)
  const copy = join(ap1.paths[0] ?? '', '..', 'old.key')
  await writeFile(copy, sold.keyPem, { mode: 0o600 })
  const refused = await remove('--now')
  assert.equal(refused.exit, 69)
  assert.match(refused.stderr, /PURGE_LEFT/)
  assert.ok(refused.stderr.includes(copy.replace('/tls/../', '/tls/')), refused.stderr)
  assert.ok((await written()).sites[siteName].dns.includes('ap-1'))
  assert.notDeepEqual(await copiesOn('ap-1', sold), [])
  await rm(copy)

  await fleet.configure((document) => {
    document.zones = { 'lab.example': zone.settings }
    document.servers['ap-1'].ssh.port = 9
  })
  const gone = await remove('--now')
  assert.equal(gone.exit, 69)
  assert.match(gone.stderr, /SSH_REFUSED/)
  const lost = await remove('--lost')
  assert.equal(lost.exit, 0, lost.stderr)
  assert.match(lost.stdout, /replace the key: onecert renew www --rekey/)
  const { stdout } = await fleet.run('ledger', 'keys')
  assert.match(stdout, /ap-1 .*\(lost: nobody saw it go\)/)
  const { certificates } = await fleet.run.json<{ certificates: { licence: null }[] }>('status')
  assert.equal(certificates.length, 1)
})

test('a server that left the fleet file without a word is found by the record, and loses its copies', async () => {
  await twoServers()
  assert.equal((await add()).exit, 0)
  await twoServers((document) => {
    document.servers['ap-1'] = undefined
  })
  const removed = await remove()
  assert.equal(removed.exit, 0, removed.stderr)
  assert.deepEqual(await filesWithKey('ap-1', sold), [])
  assert.deepEqual((await zone.addresses(siteName)).length, 2)
  const { keyCopies } = await fleet.run.json<{ keyCopies: KeyCopy[] }>('ledger', 'keys')
  assert.ok(keyCopies.every(({ server }) => server !== 'ap-1'))
})

test('without a seat nothing is changed; the last address, and the last server of a site, are not taken away', async () => {
  await twoServers((document) => {
    document.certificates.www.licence = { servers: 2 }
  })
  const before = await readFile(fleet.fleetFile, 'utf8')
  const full = await add()
  assert.equal(full.exit, 78)
  assert.match(full.stderr, /LICENCE_SEATS/)
  assert.equal(await readFile(fleet.fleetFile, 'utf8'), before)
  assert.equal((await zone.addresses(siteName)).length, 2)

  const one = await fleet.run('server', 'remove', 'us-1', '--yes')
  assert.equal(one.exit, 0, one.stderr)
  assert.equal((await fleet.run('server', 'remove', 'eu-1', '--yes')).exit, 78)
  const seat = await add('--no-publish')
  assert.equal(seat.exit, 0, seat.stderr)
  assert.match(seat.stdout, new RegExp(`publish by hand, it is proven now: ${siteName}. A ${ap1.service.address}`))
  const last = await fleet.run('server', 'remove', 'eu-1', '--yes')
  assert.equal(last.exit, 77, last.stderr)
  assert.match(last.stderr, /DNS_LAST_ADDRESS/)
  assert.deepEqual(await zone.addresses(siteName), [eu1.service.address])
  assert.equal(await eu1.onDisk(), sold.fingerprint)
})
