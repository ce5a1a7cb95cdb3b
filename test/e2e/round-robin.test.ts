import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Entry } from '../../src/ledger/entry.ts'
import type { Sold } from '../authority.ts'
import type { Ended } from '../onecert.ts'
import { audited, siteName } from '../real/fleet.ts'
import { type RoundRobin, startRoundRobin } from '../real/round-robin.ts'

let lab: RoundRobin
let sold: Sold

before(async () => {
  lab = await startRoundRobin()
})
after(() => lab[Symbol.asyncDispose]())

const two = () => lab.addresses('eu-1', 'us-1')
const all = () => lab.addresses('eu-1', 'us-1', 'ap-1')

/** Every set of addresses that the primary had while something ran, and what ap-1 served when its own came first. */
async function watched(work: () => Promise<Ended>) {
  const sets: string[][] = []
  let servedAtFirst: string | null = null
  let over = false
  const watch = (async () => {
    while (!over) {
      const addresses = await lab.zone.addresses(siteName)
      if (addresses.join() !== sets.at(-1)?.join()) sets.push(addresses)
      if (servedAtFirst === null && addresses.includes(lab.ap1.service.address)) servedAtFirst = await lab.ap1.served()
      await sleep(10)
    }
  })()
  const ended = await work()
  over = true
  await watch
  return { ...ended, sets, servedAtFirst: servedAtFirst as string | null }
}

const seqOf = (entries: readonly Entry[], effect: string, phase: string, server = 'ap-1') =>
  entries.findLast((entry) => entry.effect === effect && entry.phase === phase && entry.server === server)?.seq ?? 0

test('a server that cannot be proven is never published, nor one whose host key nobody confirmed', async () => {
  sold = await lab.twoServers((document) => {
    document.servers['ap-1'].service.nginx.reload = ['true']
  })
  const { service } = lab.ap1
  const broken = await watched(() => lab.add())
  assert.equal(broken.exit, 69, broken.stderr)
  assert.match(broken.stderr, /VERIFY_OLD_CERTIFICATE/)
  assert.match(broken.stderr, /ap-1 was not published in the DNS/)
  assert.equal(broken.servedAtFirst, null)
  assert.ok(!broken.sets.flat().includes(service.address))
  assert.equal(seqOf(await lab.record(), 'publish', 'intent'), 0)

  await lab.fleet.configure((document) => {
    document.zones = { 'lab.example': lab.zone.settings }
    document.sites[siteName].dns = ['eu-1', 'us-1']
    document.servers['ap-1'] = undefined
  })
  const comment = '# written by a person\n'
  const text = comment + (await readFile(lab.fleet.fleetFile, 'utf8'))
  await writeFile(lab.fleet.fleetFile, text)
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
  const { address, port, user, clientKey } = lab.ap1.sshd
  const ssh = ['--ssh', `${user}@${address}`, '--ssh-port', String(port), '--identity-file', clientKey]
  const dry = await lab.add('--dry-run', ...words, ...ssh)
  assert.equal(dry.exit, 0, dry.stderr)
  assert.match(dry.stdout, new RegExp(`then, in the zone lab.example at .*: ${siteName}. A ${service.address}`))
  assert.equal(await readFile(lab.fleet.fleetFile, 'utf8'), text)

  const unknown = await watched(() => lab.add(...words, ...ssh))
  assert.equal(unknown.exit, 77, unknown.stderr)
  assert.match(unknown.stderr, /SSH_HOST_KEY_UNKNOWN/)
  assert.ok(!unknown.sets.flat().includes(service.address))
  assert.ok((await readFile(lab.fleet.fleetFile, 'utf8')).startsWith(comment))
  const { servers, sites } = await lab.written()
  assert.deepEqual(servers['ap-1'], {
    ssh: { destination: `${user}@${address}`, port, identity: clientKey },
    address: service.address,
    port: service.port,
    location: 'tokyo',
    service: 'nginx',
  })
  assert.deepEqual(sites[siteName].dns, ['eu-1', 'us-1', 'ap-1'])
  // What was copied before the proof failed is in the record.
  assert.deepEqual(await lab.filesWithKey('ap-1', sold), await lab.copiesOn('ap-1', sold))
})

test('a new server gets the certificate, is proven, and only then is in the DNS, at every name server', async () => {
  sold = await lab.twoServers()
  const added = await watched(() => lab.add())
  assert.equal(added.exit, 0, added.stderr)
  assert.equal(added.servedAtFirst, sold.fingerprint, 'it served the certificate when its address appeared')
  assert.deepEqual(added.sets, [two(), all()])
  assert.deepEqual(await lab.zone.addresses(siteName, 'secondary'), all())
  assert.match(added.stdout, new RegExp(`ap-1: ${lab.ap1.service.address} is published in ${siteName}`))
  const entries = await lab.record()
  assert.ok(seqOf(entries, 'commit', 'outcome') < seqOf(entries, 'publish', 'intent'))
  assert.ok(seqOf(entries, 'publish', 'intent') < seqOf(entries, 'publish', 'outcome'))

  assert.deepEqual(await audited(lab.fleet), [])
  const written = await readFile(lab.fleet.fleetFile, 'utf8')
  await lab.fleet.configure((document) => {
    document.zones = { 'lab.example': lab.zone.settings }
    document.sites[siteName].dns = ['eu-1', 'us-1']
  })
  const left = ['ap-1 key-left', 'null address-not-ours']
  assert.deepEqual(await audited(lab.fleet), left, 'in the DNS, with a copy of the key, and no server of the site')
  await writeFile(lab.fleet.fleetFile, written)

  const again = await lab.add()
  assert.equal(again.exit, 0, again.stderr)
  assert.match(again.stdout, /\(it had it\)/)
  const different = await lab.add('--address', '192.0.2.99')
  assert.equal(different.exit, 73)
  assert.match(different.stderr, /SERVER_EXISTS/)
})

test('a server leaves the DNS first, keeps its copy while its address may be remembered, and then holds no file with the key', async () => {
  assert.equal((await lab.filesWithKey('ap-1', sold)).length, 1)
  const removed = await watched(() => lab.remove())
  assert.equal(removed.exit, 0, removed.stderr)
  assert.deepEqual(removed.sets, [all(), two()])
  assert.deepEqual(await lab.zone.addresses(siteName, 'secondary'), two())
  assert.match(removed.stderr, /resolvers may remember .* for 3 s more/)
  assert.match(removed.stdout, /no file with the key is left \(\d key cop(y|ies) purged; every file was looked at\)/)
  assert.match(removed.stdout, /its service still has the key in its memory/)
  assert.deepEqual(await lab.filesWithKey('ap-1', sold), [])
  for (const path of lab.ap1.paths) assert.ok(!existsSync(path), path)

  const entries = await lab.record()
  const [withdraw, purge] = ['withdraw', 'purge'].map((effect) =>
    entries.findLast(
      (entry) =>
        entry.effect === effect &&
        entry.server === 'ap-1' &&
        entry.phase === (effect === 'purge' ? 'intent' : 'outcome'),
    ),
  )
  assert.ok(withdraw && purge && purge.atMs - withdraw.atMs >= 3_000, 'the TTL has passed between them')
  const { keyCopies } = await lab.fleet.run.json<{ keyCopies: { server: string }[] }>('ledger', 'keys')
  assert.deepEqual([...new Set(keyCopies.map(({ server }) => server))].sort(), ['eu-1', 'us-1'])
  const { servers, sites } = await lab.written()
  assert.deepEqual(Object.keys(servers), ['eu-1', 'us-1'])
  assert.deepEqual(sites[siteName].dns, ['eu-1', 'us-1'])
  assert.deepEqual(await audited(lab.fleet), [])
  const again = await lab.remove()
  assert.equal(again.exit, 0, again.stderr)
  assert.equal((await lab.fleet.run('apply')).exit, 0)
})
