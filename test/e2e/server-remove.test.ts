import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import type { KeyCopy } from '../../src/ledger/keycopies.ts'
import type { Sold } from '../authority.ts'
import { startBind } from '../real/bind.ts'
import { startDnsRelay } from '../real/dns-relay.ts'
import { siteName } from '../real/fleet.ts'
import { type RoundRobin, startRoundRobin } from '../real/round-robin.ts'
import { chooseEndpoint } from '../real/running.ts'

const run = promisify(execFile)
const launcher = new URL('../../bin/onecert', import.meta.url).pathname

let lab: RoundRobin
let sold: Sold

before(async () => {
  lab = await startRoundRobin()
})
after(() => lab[Symbol.asyncDispose]())

test('a file with the key that somebody copied stops the removal; a server that is gone is recorded as lost', async () => {
  sold = await lab.twoServers()
  assert.equal((await lab.add()).exit, 0)
  const copy = join(lab.ap1.paths[0] ?? '', '..', 'old.key')
  await writeFile(copy, sold.keyPem, { mode: 0o600 })
  const refused = await lab.remove('--now')
  assert.equal(refused.exit, 69)
  assert.match(refused.stderr, /PURGE_LEFT/)
  assert.ok(refused.stderr.includes(copy.replace('/tls/../', '/tls/')), refused.stderr)
  assert.ok((await lab.written()).sites[siteName].dns.includes('ap-1'))
  assert.notDeepEqual(await lab.copiesOn('ap-1', sold), [])
  await rm(copy)

  await lab.fleet.configure((document) => {
    document.zones = { 'lab.example': lab.zone.settings }
    document.servers['ap-1'].ssh.port = 9
  })
  const gone = await lab.remove('--now')
  assert.equal(gone.exit, 69)
  assert.match(gone.stderr, /SSH_REFUSED/)
  const lost = await lab.remove('--lost')
  assert.equal(lost.exit, 0, lost.stderr)
  assert.match(lost.stdout, /replace the key: onecert renew www --rekey/)
  const { stdout } = await lab.fleet.run('ledger', 'keys')
  assert.match(stdout, /ap-1 .*\(lost: nobody saw it go\)/)
  const { certificates } = await lab.fleet.run.json<{ certificates: { licence: null }[] }>('status')
  assert.equal(certificates.length, 1)
})

test('a server that left the fleet file without a word is found by the record, and loses its copies', async () => {
  sold = await lab.twoServers()
  assert.equal((await lab.add()).exit, 0)
  sold = await lab.twoServers((document) => {
    document.servers['ap-1'] = undefined
  })
  const removed = await lab.remove()
  assert.equal(removed.exit, 0, removed.stderr)
  assert.deepEqual(await lab.filesWithKey('ap-1', sold), [])
  assert.deepEqual((await lab.zone.addresses(siteName)).length, 2)
  const { keyCopies } = await lab.fleet.run.json<{ keyCopies: KeyCopy[] }>('ledger', 'keys')
  assert.ok(keyCopies.every(({ server }) => server !== 'ap-1'))
})

test('without a seat nothing is changed; the last address, and the last server of a site, are not taken away', async () => {
  sold = await lab.twoServers((document) => {
    document.certificates.www.licence = { servers: 2 }
  })
  const before = await readFile(lab.fleet.fleetFile, 'utf8')
  const full = await lab.add()
  assert.equal(full.exit, 78)
  assert.match(full.stderr, /LICENCE_SEATS/)
  assert.equal(await readFile(lab.fleet.fleetFile, 'utf8'), before)
  assert.equal((await lab.zone.addresses(siteName)).length, 2)

  const one = await lab.fleet.run('server', 'remove', 'us-1', '--yes')
  assert.equal(one.exit, 0, one.stderr)
  assert.equal((await lab.fleet.run('server', 'remove', 'eu-1', '--yes')).exit, 78)
  const seat = await lab.add('--no-publish')
  assert.equal(seat.exit, 0, seat.stderr)
  assert.match(seat.stdout, new RegExp(`publish by hand, it is proven now: ${siteName}. A ${lab.ap1.service.address}`))
  const last = await lab.fleet.run('server', 'remove', 'eu-1', '--yes')
  assert.equal(last.exit, 77, last.stderr)
  assert.match(last.stderr, /DNS_LAST_ADDRESS/)
  assert.deepEqual(await lab.zone.addresses(siteName), lab.addresses('eu-1'))
  assert.equal(await lab.fleet.server('eu-1').onDisk(), sold.fingerprint)
})

test('interrupted while its address may be remembered, it says how to go on; the copy is there still', async () => {
  sold = await lab.twoServers()
  assert.equal((await lab.add()).exit, 0)
  const { child, ended } = lab.fleet.run.start('server', 'remove', 'ap-1', '--yes')
  child.stderr?.on('data', (text: string) => {
    if (/may remember/.test(text)) child.kill('SIGINT')
  })
  const { exit, stderr } = await ended
  assert.equal(exit, 75, stderr)
  assert.match(stderr, /next: {2}onecert --fleet .* server remove ap-1 --yes\n/)
  assert.equal((await lab.filesWithKey('ap-1', sold)).length, 1)
  assert.ok(!(await lab.zone.addresses(siteName)).includes(lab.ap1.service.address))
  const unasked = await lab.fleet.run('server', 'remove', 'ap-1')
  assert.equal(unasked.exit, 64)
  assert.match(unasked.stderr, /NEEDS_TTY/)
  assert.equal((await lab.remove('--now')).exit, 0)
  assert.deepEqual(await lab.filesWithKey('ap-1', sold), [])
})

test('a name server that nobody can ask holds both up: who knows what it shows; the copy stays until then', async () => {
  sold = await lab.twoServers((document) => {
    document.zones['lab.example'].within = '5s'
  })
  lab.zone.hear(false)
  const added = await lab.add()
  assert.equal(added.exit, 69, added.stderr)
  assert.match(added.stderr, /DNS_NOT_PROPAGATED: 1 of 2 name servers/)
  assert.ok(added.stderr.includes(`ns2.lab.example (${lab.zone.ns2.address}): no answer`), added.stderr)
  lab.zone.hear(true)
  assert.equal((await lab.add()).exit, 0)
  lab.zone.hear(false)
  const removed = await lab.remove()
  assert.equal(removed.exit, 69, removed.stderr)
  assert.match(removed.stderr, /DNS_NOT_PROPAGATED/)
  assert.equal((await lab.filesWithKey('ap-1', sold)).length, 1)
  const withoutIt = await lab.remove('--now')
  assert.equal(withoutIt.exit, 0, withoutIt.stderr)
  assert.deepEqual(await lab.filesWithKey('ap-1', sold), [])
  lab.zone.hear(true)
})

test('where a person writes the records, the key stays as long as a name server or resolver shows the address', async () => {
  sold = await lab.twoServers()
  assert.equal((await lab.add('--no-publish')).exit, 0)
  await lab.fleet.configure(() => {})
  const { address } = await chooseEndpoint({})
  const key = { name: 'person', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'p').toString('base64') }
  const name = [{ name: 'ns1.lab.example', address }]
  const records = lab.addresses('eu-1', 'us-1', 'ap-1').map((each) => `www 60 A ${each}`)
  await using bind = await startBind({
    keys: [key],
    recursion: true,
    zones: [
      { name: 'lab.example', servers: name, records, types: ['A'] },
      { name: '.', servers: name },
    ],
  })
  await using _ = await startDnsRelay(bind, (response) => response, { address, port: 53 })
  const resolvers = join(lab.fleet.directory, 'resolv.conf')
  await writeFile(resolvers, `nameserver ${address}\n`)
  // What is mounted there, nobody else sees.
  const removing = () => {
    const words = ['--fleet', lab.fleet.fleetFile, '--state', join(lab.fleet.directory, 'state')]
    const argv = [process.execPath, launcher, ...words, 'server', 'remove', 'ap-1', '--yes']
    const script = `mount --bind ${resolvers} /etc/resolv.conf; exec "$@"`
    return run('unshare', ['--mount', 'sh', '-ec', script, 'sh', ...argv], { timeout: 60_000 })
  }
  const refused = await removing().then(
    () => '',
    ({ stderr }: { stderr: string }) => stderr,
  )
  assert.match(refused, /DNS_STILL_SHOWN/)
  assert.match(refused, new RegExp(`take the record ${siteName}. A ${lab.ap1.service.address} out of its zone`))
  assert.equal((await lab.filesWithKey('ap-1', sold)).length, 1)
  const change = `server ${bind.address} ${bind.port}\nzone lab.example\nupdate delete ${siteName} A ${lab.ap1.service.address}\nsend\n`
  await run('sh', ['-c', 'printf %s "$1" | nsupdate -k "$2"', 'sh', change, await bind.keyFile(key)], {
    timeout: 20_000,
  })
  await removing()
  assert.deepEqual(await lab.filesWithKey('ap-1', sold), [])
})
