import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { parse, stringify } from 'yaml'
import type { Entry } from '../../src/ledger/entry.ts'
import { type FleetDocument, type RealFleet, siteName, startFleet } from '../real/fleet.ts'
import { type PublishedZone, startPublishedZone } from '../real/published-zone.ts'

/** What is sold begins an hour ago. */
const soonDay = 2 / 24
const names = ['eu-1', 'us-1', 'ap-1'] as const
type Name = (typeof names)[number]

let fleet: RealFleet
let zone: PublishedZone
let address: Record<Name, string>

before(async () => {
  fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx', 'ap-1': 'nginx' })
  address = Object.fromEntries(names.map((name) => [name, fleet.server(name).service.address])) as Record<Name, string>
  zone = await startPublishedZone(names.map((name) => `www 3 A ${address[name]}`))
})

after(async () => {
  await zone[Symbol.asyncDispose]()
  await fleet[Symbol.asyncDispose]()
})

/** The servers named have a reload that does nothing: they go on serving what they had. */
async function stuck(servers: readonly Name[], keep = 1): Promise<void> {
  await fleet.configure((document: FleetDocument) => {
    document.zones = { 'lab.example': zone.settings }
    document.sites[siteName].quarantine = { before: '2h', keep }
    document.rollout.wave = 3
    for (const name of servers) document.servers[name].service.nginx.reload = ['true']
  })
}

interface Quarantined {
  readonly quarantine: { server: string; act: string; reason: string }[]
}

const published = async () => {
  const there = await zone.addresses(siteName)
  return names.filter((name) => there.includes(address[name]))
}

test('where every server serves what ends soon, and none is better, none is taken away', async () => {
  await stuck([])
  await fleet.buy({ toDay: soonDay })
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  await fleet.run('apply')
  assert.deepEqual(await published(), [...names])
})

test('a server that is not renewed leaves the DNS before its certificate ends, and comes back when it is proven', async () => {
  await fleet.buy()
  await stuck(['us-1'])
  const withdrawn = await fleet.run('apply')
  assert.equal(withdrawn.exit, 75)
  assert.match(
    withdrawn.stderr,
    /us-1: taken out of the DNS of www\.lab\.example: it is not renewed, and what it serves ends in \d+ (min|h)/,
  )
  assert.deepEqual(await published(), ['eu-1', 'ap-1'])
  assert.match((await fleet.run('status')).stdout, /us-1 .*drift.*out of the DNS since 20.*it is not renewed/)
  const again = await fleet.run.json<Quarantined>('apply')
  assert.deepEqual(again.quarantine, [])

  await stuck([])
  const restored = await fleet.run.json<Quarantined>('apply')
  assert.deepEqual(restored.quarantine, [
    { site: siteName, server: 'us-1', act: 'restore', reason: 'it is proven again' },
  ])
  assert.deepEqual(await published(), [...names])
  assert.doesNotMatch((await fleet.run('status')).stdout, /out of the DNS/)
  const { entries } = await fleet.run.json<{ entries: Entry[] }>('ledger', '--last', '10000')
  assert.deepEqual(
    entries
      .filter(({ effect }) => effect === 'withdraw' || effect === 'publish')
      .map(({ effect, phase, server, site, result }) => [effect, phase, server, site, result]),
    (['withdraw', 'publish'] as const).flatMap((effect) => [
      [effect, 'intent', 'us-1', siteName, undefined],
      [effect, 'outcome', 'us-1', siteName, 'done'],
    ]),
  )
})

test('the last addresses stay, whatever their servers serve', async () => {
  await stuck([])
  await fleet.buy({ toDay: soonDay })
  assert.equal((await fleet.run('apply')).exit, 0)
  await fleet.buy()
  await stuck(['us-1', 'ap-1'], 2)
  assert.equal((await fleet.run('apply')).exit, 75)
  assert.equal((await published()).length, 2)
  assert.ok((await published()).includes('eu-1'))
})

test('a name server that refuses does not hide how the rollout went', async () => {
  await stuck([], 1)
  await fleet.configure((document: FleetDocument) => {
    document.zones = { 'lab.example': { ...zone.settings, rfc2136: { server: '127.0.0.1:9', 'key-file': '/nowhere' } } }
    document.sites[siteName].quarantine = {}
  })
  const { exit, stdout, stderr } = await fleet.run('apply')
  assert.match(stdout, /3 of 3 servers proven/)
  assert.match(stderr, /INPUT_NOT_FOUND/)
  assert.equal(exit, 65)
})

test('a server that only a connection can look at comes back too', async () => {
  const through = async (servers: readonly Name[]) => {
    await stuck(servers)
    const text = await readFile(fleet.fleetFile, 'utf8')
    const document = parse(text)
    document.servers['us-1'].probe = 'through-server'
    await writeFile(fleet.fleetFile, stringify(document))
  }
  await through([])
  await fleet.buy({ toDay: soonDay })
  const first = await fleet.run('renew', '--force')
  assert.equal(first.exit, 0, first.stderr)
  await fleet.buy()
  await through(['us-1'])
  assert.equal((await fleet.run('apply')).exit, 75)
  assert.deepEqual(await published(), ['eu-1', 'ap-1'])
  await through([])
  const restored = await fleet.run('apply')
  assert.equal(restored.exit, 0, restored.stderr)
  assert.deepEqual(await published(), [...names])
})
