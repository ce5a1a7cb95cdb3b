import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { canonicalAddress } from '../../src/pki/names.ts'
import { writeCertificate } from '../real/certificate.ts'
import { audited, type FleetDocument, type RealFleet, siteName, startFleet } from '../real/fleet.ts'
import { type PublishedZone, startPublishedZone } from '../real/published-zone.ts'

let fleet: RealFleet
let zone: PublishedZone
let four: string
let other: string
const six = '::1'

before(async () => {
  fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
  four = fleet.server('eu-1').service.address
  other = fleet.server('us-1').service.address
  zone = await startPublishedZone([`www 3 A ${four}`, `www 3 A ${other}`, `www 3 AAAA ${six}`])
})
after(async () => {
  await zone[Symbol.asyncDispose]()
  await fleet[Symbol.asyncDispose]()
})

/** nginx of eu-1 listens at the IPv6 address too, for the site or for something else. */
async function atSix(lines: (listen: string) => readonly [here: string, before: string]): Promise<void> {
  const { configuration, port, reload } = fleet.server('eu-1').service
  const text = (await readFile(configuration, 'utf8')).replace(/^ *(server \{ )?listen \[::1\].*\n/gm, '')
  const [here, beforeIt] = lines(`listen [${six}]:${port} ssl;`)
  await writeFile(
    configuration,
    text.replace(
      /^( {2}server \{\n)( *listen .* ssl;\n)/m,
      (_, server, listen) => `${beforeIt}${server}${listen}${here}`,
    ),
  )
  const [program = '', ...words] = reload
  await promisify(execFile)(program, words)
}

const configure = (address: unknown, change: (document: FleetDocument) => void = () => {}) =>
  fleet.configure((document) => {
    document.zones = { 'lab.example': zone.settings }
    document.servers['eu-1'].address = address
    for (const name of ['eu-1', 'us-1']) document.servers[name]['key-folders'] = [fleet.server(name).base]
    change(document)
  })

test('a server with an IPv4 and an IPv6 address is proven at both, and both are its own in the DNS', async () => {
  await atSix((listen) => [`    ${listen}\n`, ''])
  await configure(four)
  assert.equal((await fleet.run('apply')).exit, 0)
  assert.deepEqual(await audited(fleet), ['null address-not-ours'], 'the fleet file does not name the other one')
  await configure([four, six])
  const applied = await fleet.run('apply')
  assert.equal(applied.exit, 0, applied.stderr)
  assert.deepEqual(await audited(fleet), [])
  const { port } = fleet.server('eu-1').service
  const { stdout } = await fleet.run('status')
  assert.match(stdout, new RegExp(`eu-1 .*${four}:${port} .*proven`))
  assert.match(stdout, new RegExp(`eu-1 .*\\[::1\\]:${port} .*proven`))
  assert.match(stdout, /^3 of 3 endpoints proven/m)
})

test('one of both addresses shows something else: found there, also through the server, and no renewal is called proven', async () => {
  const stranger = await writeCertificate(fleet.directory, [siteName])
  await atSix((listen) => [
    '',
    `  server { ${listen} ssl_certificate ${stranger.chain}; ssl_certificate_key ${stranger.key}; }\n`,
  ])
  const { port } = fleet.server('eu-1').service
  for (const probe of ['direct', 'through-server']) {
    await configure([four, six], (document) => {
      document.servers['eu-1'].probe = probe
    })
    const { findings } = JSON.parse((await fleet.run('audit', '--json')).stdout) as {
      findings: { reason: string; place: string }[]
    }
    assert.deepEqual(
      findings.map(({ reason, place }) => [reason, place]),
      [
        ['other-certificate', `[::1]:${port} (${siteName})`],
        ['other-files', stranger.chain],
      ],
      probe,
    )
  }
  await configure([four, six])
  const before = await fleet.server('eu-1').served()
  await fleet.buy()
  const { exit, stderr } = await fleet.run('apply', '--server', 'eu-1')
  assert.notEqual(exit, 0)
  assert.match(stderr, /\[::1\]:\d+ \(www\.lab\.example\) serves/)
  assert.equal(await fleet.server('eu-1').served(), before, 'it went back')
})

test('it leaves the DNS with both addresses, and comes back with both', async () => {
  await atSix((listen) => [`    ${listen}\n`, ''])
  await configure([four, six])
  assert.equal((await fleet.run('apply')).exit, 0)
  const dry = await fleet.run('server', 'add', 'eu-1', '--site', siteName, '--dry-run')
  assert.match(dry.stdout, new RegExp(`${siteName}\\. A ${four}, ${siteName}\\. AAAA ::1`))
  const removed = await fleet.run('server', 'remove', 'eu-1', '--yes')
  assert.equal(removed.exit, 0, removed.stderr)
  for (const address of [four, six]) assert.match(removed.stderr, new RegExp(`${address} is out of ${siteName}`))
  assert.deepEqual(await zone.addresses(siteName), [other])

  await configure([four, six])
  const added = await fleet.run('server', 'add', 'eu-1', '--site', siteName)
  assert.equal(added.exit, 0, added.stderr)
  assert.deepEqual((await zone.addresses(siteName)).map(canonicalAddress).sort(), [other, four, six].sort())
  assert.deepEqual(await audited(fleet), [])
})

test('where nobody else is in the DNS, neither of its addresses leaves it', async () => {
  await configure([four, six])
  const gone = await fleet.run('server', 'remove', 'us-1', '--now', '--yes')
  assert.equal(gone.exit, 0, gone.stderr)
  const both = [four, six].sort()
  assert.deepEqual((await zone.addresses(siteName)).map(canonicalAddress).sort(), both)
  await configure([four, six])
  const { exit, stderr } = await fleet.run('server', 'remove', 'eu-1', '--yes')
  assert.equal(exit, 77, stderr)
  assert.match(stderr, /DNS_LAST_ADDRESS/)
  assert.deepEqual((await zone.addresses(siteName)).map(canonicalAddress).sort(), both)
})
