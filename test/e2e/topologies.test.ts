import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { controlOf, type RunningHaproxyBalancer, runtimeApi, startHaproxyBalancer } from '../real/balancer.ts'
import { type FleetDocument, type RealFleet, type RealServer, siteName, startFleet } from '../real/fleet.ts'
import { type Counts, startLoad } from '../real/load.ts'
import { startRoundRobin } from '../real/round-robin.ts'

/** The clients trust its root alone: a server that they are led to before it has its certificate fails them. */
function ownCertificate(document: FleetDocument): void {
  document.issuers = { own: { 'local-ca': { 'common-name': 'Lab' } } }
  document.certificates = { www: { names: [siteName], issuer: 'own', key: { type: 'ec-p256', 'keep-for': '180d' } } }
}

async function done(fleet: RealFleet, ...words: string[]): Promise<string> {
  const { exit, stdout, stderr } = await fleet.run(...words)
  assert.equal(exit, 0, `onecert ${words.join(' ')}: ${stderr}`)
  return stdout + stderr
}

/** With the same key, then with another one; `said` has to be said of each server. */
async function renewBothWays(fleet: RealFleet, said = ''): Promise<void> {
  const served = async () => new Set(await Promise.all(fleet.servers.map((server) => server.served())))
  for (const [how, key] of [
    ['--force', 'no key sent'],
    ['--rekey', 'key sent'],
  ] as const) {
    const before = await served()
    const output = await done(fleet, 'renew', 'www', how)
    for (const { name } of fleet.servers)
      assert.match(output, new RegExp(`${name} {2}proven .* s {2}${key}${said}$`, 'm'))
    const now = await served()
    assert.equal(now.size, 1, 'all of them serve the same')
    assert.ok([...now].every((leaf) => !before.has(leaf)))
  }
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const withinMs = 15_000
  for (const endMs = Date.now() + withinMs; !(await condition()); await sleep(20))
    assert.ok(Date.now() < endMs, `it did not come to that in ${withinMs} ms`)
}

function assertNoneFailed({ fresh, kept, reasons }: Counts): void {
  assert.deepEqual([fresh.failed, kept.failed], [0, 0], JSON.stringify(reasons))
}

test('round-robin DNS: a third nginx comes, both renewals, it goes and is stopped; clients ask BIND, and none fails', async () => {
  await using lab = await startRoundRobin()
  const { fleet, zone, ap1 } = lab
  await lab.twoServers(ownCertificate)
  const targets = fleet.servers.map(({ service }) => service)
  const root = await done(fleet, 'ca', 'own')
  // A reload of nginx cuts kept connections: what it costs is in the README, from bench rotate.
  await using load = await startLoad({ targets, name: siteName, root, resolver: zone.primary, kept: 0 })
  const answersOf = async (server: RealServer) => (await load.counts()).answers[server.service.address] ?? 0

  assert.equal(await answersOf(ap1), 0)
  await done(fleet, 'server', 'add', 'ap-1', '--site', siteName)
  await until(async () => (await answersOf(ap1)) > 0)
  await renewBothWays(fleet)
  const grown = await answersOf(ap1)
  await done(fleet, 'server', 'remove', 'ap-1', '--yes')
  await ap1.service.stop()
  await sleep(300)

  const { fresh, answers, reasons } = await load.stop()
  assert.equal(fresh.failed, 0, JSON.stringify(reasons))
  assert.ok(fresh.done > 300 && grown > 50, `${fresh.done} connections, ${grown} of them to the third`)
  assert.equal(Object.keys(answers).length, 3)
})

/** A column of `show stat`: 4 is the sessions there now, 7 all that there were. */
async function statistic({ tell, backend }: RunningHaproxyBalancer, member: string, column: number): Promise<number> {
  const rows = (await tell(`show stat ${backend} 4 -1`)).split('\n').map((row) => row.split(','))
  return Number(rows.find((row) => row[1] === member)?.[column])
}

test('load balancer: a third member comes, both renewals with all three drained, it goes and is stopped; nothing fails', async () => {
  const member = { kind: 'nginx', proxyProtocol: 'v2' } as const
  await using fleet = await startFleet({ 'web-1': member, 'web-2': member, 'web-3': member })
  const members = fleet.servers.map(({ name, service }) => ({ ...service, name: `s-${name}` }))
  await using balancer = await startHaproxyBalancer(members)
  const tell = (state: string) => balancer.tell(`set server ${balancer.backend}/s-web-3 state ${state}`)
  const isUp = async (name: string) => (await balancer.states())[name] === 'UP'
  await tell('maint')
  const configure = (count: number) =>
    fleet.configure((document) => {
      ownCertificate(document)
      const { address, port } = balancer
      const servers = fleet.servers.slice(0, count).map(({ name }) => name)
      const control = controlOf(balancer, members.slice(0, count))
      document.sites[siteName] = { certificate: 'www', 'load-balancer': { address, port, servers, control } }
    })
  await configure(2)
  await until(async () => (await isUp('s-web-1')) && isUp('s-web-2'))
  await done(fleet, 'apply')
  const root = await done(fleet, 'ca', 'own')
  await using load = await startLoad({ targets: [balancer], name: siteName, root })

  const added = await done(fleet, 'server', 'add', 'web-3', '--site', siteName)
  assert.match(
    added,
    /note: web-3 is reloaded without a drain: .*has no server web-3/,
    'HAProxy has it by another name',
  )
  assert.match(added, /web-3: put it behind what stands before/)
  await tell('ready')
  await until(() => isUp('s-web-3'))
  await configure(3)
  await renewBothWays(fleet, ', drained')
  assert.ok((await statistic(balancer, 's-web-3', 7)) > 20, 'it had its share')
  await tell('drain')
  await until(async () => (await statistic(balancer, 's-web-3', 4)) === 0)
  await done(fleet, 'server', 'remove', 'web-3', '--yes')
  await fleet.server('web-3').service.stop()
  await sleep(300)

  const counts = await load.stop()
  assertNoneFailed(counts)
  assert.ok(counts.fresh.done > 300 && counts.kept.done > 300 && counts.kept.connections > 20)
})

/** A reload gives the work to another process. */
async function workerOf({ settings }: RealServer): Promise<string | undefined> {
  return /^Pid: (\d+)$/m.exec(await runtimeApi(settings.socket ?? '', 'show info'))?.[1]
}

test('reverse proxy: a standby comes, both renewals by the Runtime API, it goes; no connection ends, and no HAProxy reloads', async () => {
  await using fleet = await startFleet({
    'edge-1': { kind: 'haproxy', runtime: true },
    'edge-2': { kind: 'haproxy', runtime: true },
  })
  const [edge, standby] = ['edge-1', 'edge-2'].map((name) => fleet.server(name))
  assert.ok(edge && standby)
  const configure = (servers: string[], rest = {}) =>
    fleet.configure((document) => {
      ownCertificate(document)
      document.sites[siteName] = {
        certificate: 'www',
        'reverse-proxy': { servers, ...rest, upstreams: ['http://192.0.2.80:8080'] },
      }
    })
  const workers = await Promise.all(fleet.servers.map(workerOf))
  await configure(['edge-1'])
  await done(fleet, 'apply')
  const root = await done(fleet, 'ca', 'own')
  const options = { name: siteName, root, keptMs: 600_000 }
  await using load = await startLoad({ ...options, targets: [edge.service] })

  await done(fleet, 'server', 'add', 'edge-2', '--site', siteName)
  await configure(['edge-1', 'edge-2'], { standby: ['edge-2'] })
  // As after a failover: clients come to both.
  await using moved = await startLoad({ ...options, targets: [standby.service] })
  await renewBothWays(fleet, ', no reload')
  const atStandby = await moved.stop()
  await done(fleet, 'server', 'remove', 'edge-2', '--yes')
  assert.ok(workers.every((pid) => pid !== undefined))
  assert.deepEqual(await Promise.all(fleet.servers.map(workerOf)), workers)
  await standby.service.stop()
  await done(fleet, 'check')
  const atEdge = await load.stop()

  for (const counts of [atEdge, atStandby]) {
    assertNoneFailed(counts)
    assert.ok(counts.fresh.done > 100 && counts.kept.done > 100)
    assert.equal(counts.kept.connections, 4, 'the first ones are the last ones')
  }
})
