import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { audited, type RealFleet, type RealServer, type ServerOptions, startFleet } from '../real/fleet.ts'
import {
  ageTickets,
  forgetNamedTickets,
  goesOn,
  type KeptSession,
  keepSession,
  nameTickets,
  reload,
  ticketState,
} from '../real/session.ts'

const halfDayMs = 12 * 3_600_000
const versions = ['TLSv1.2', 'TLSv1.3'] as const
const nginx: ServerOptions = { kind: 'nginx', lines: ['ssl_protocols TLSv1.2 TLSv1.3;'] }

interface Ring {
  readonly service: string
  readonly servers: readonly string[]
  readonly verdict: string
  readonly reason: string | null
  readonly odd: readonly string[]
}

/** A fleet whose servers have ticket keys, named in their configurations. */
async function startWithTickets(servers: Readonly<Record<string, ServerOptions | 'haproxy'>>): Promise<RealFleet> {
  const fleet = await startFleet(servers)
  await withTickets(fleet)
  await applied(fleet)
  for (const server of fleet.servers) await nameTickets(server)
  await settled()
  return fleet
}

const withTickets = (fleet: RealFleet, rotate = '12h') =>
  fleet.configure((document) => {
    document.certificates.www.tickets = { rotate }
  })

async function applied(fleet: RealFleet, ...words: string[]): Promise<string> {
  const { exit, stdout, stderr } = await fleet.run('apply', ...words)
  assert.equal(exit, 0, stderr)
  return stdout
}

/** Behind a reload, old processes take new connections for a moment. */
const settled = () => sleep(400)

const sessionsOf = (server: RealServer) => Promise.all(versions.map((version) => keepSession(server, version)))

async function allGoOn(servers: readonly RealServer[], sessions: readonly KeptSession[]): Promise<boolean[]> {
  const seen = await Promise.all(servers.flatMap((server) => sessions.map((session) => goesOn(server, session))))
  return [...new Set(seen)]
}

const ticketFile = (server: RealServer, name: string) => readFile(join(server.base, 'tickets', name))

test('ticket keys that a configuration names and that are gone come back; those of a lost server are recorded as lost', async () => {
  await using fleet = await startWithTickets({ 'eu-1': nginx, 'us-1': nginx })
  const us = fleet.server('us-1')
  await rm(join(us.base, 'tickets'))
  const renewed = await fleet.buy()
  await applied(fleet)
  assert.match(await readlink(join(us.base, 'tickets')), /^tickets-/)
  assert.equal(await us.served(), renewed.fingerprint)

  const lost = await fleet.run('server', 'remove', 'us-1', '--lost', '--yes')
  assert.equal(lost.exit, 0, lost.stderr)
  const { stdout } = await fleet.run('ledger', 'keys')
  assert.match(stdout, /us-1 .* tickets \d+ .*\(lost: nobody saw it go\)/)
  assert.doesNotMatch(stdout, /us-1 .* tickets \d+ .*tickets-[0-9a-f]+\n/)
  assert.equal((await ticketState(fleet)).held['us-1'], undefined)
})

test('a session of one server resumes on the others, over rotations and not over a new key', async () => {
  await using fleet = await startFleet({
    'eu-1': nginx,
    'us-1': nginx,
    'ap-1': nginx,
    edge: 'haproxy',
    gate: 'haproxy',
  })
  const servers = (kind: string) => fleet.servers.filter((each) => each.kind === kind)
  const [web, proxies] = [servers('nginx'), servers('haproxy')]
  const [eu, edge] = [fleet.server('eu-1'), fleet.server('edge')]
  await withTickets(fleet)
  const first = await fleet.buy()
  assert.match(await applied(fleet), /session ticket keys 1 on 5 servers, because there are none yet/)

  // The keys are there, and no configuration names them.
  assert.deepEqual(await allGoOn(web.slice(1), await sessionsOf(eu)), [false])
  assert.deepEqual(await allGoOn(proxies.slice(1), await sessionsOf(edge)), [false])
  const before = await fleet.run('status')
  assert.equal(before.exit, 1)
  assert.match(before.stdout, /sessions do not resume across 3 servers \(nginx, .*each has ticket keys of its own/)

  for (const server of fleet.servers) await nameTickets(server)
  await settled()
  let old = { web: await sessionsOf(eu), proxies: await sessionsOf(edge) }
  assert.deepEqual(await allGoOn(web, old.web), [true])
  assert.deepEqual(await allGoOn(proxies, old.proxies), [true])
  assert.deepEqual(await allGoOn(proxies, old.web), [false], 'no software takes the tickets of another one')
  const after = await fleet.run('status')
  assert.equal(after.exit, 0, after.stdout)
  assert.match(after.stdout, /sessions resume across 3 servers \(nginx/)
  assert.match(after.stdout, /sessions resume across 2 servers \(haproxy/)

  const beforeRotation = await Promise.all(['current.key', 'next.key'].map((name) => ticketFile(eu, name)))
  await ageTickets(fleet, halfDayMs)
  const rotated = await applied(fleet)
  assert.match(rotated, /session ticket keys 2 on 5 servers, because the one in use is older than 720 minutes/)
  assert.match(rotated, /0 key copies travelled/)
  assert.match(rotated, /sessions resume across 3 servers \(nginx/)
  const afterRotation = await Promise.all(['previous.key', 'current.key'].map((name) => ticketFile(eu, name)))
  assert.deepEqual(afterRotation, beforeRotation, 'each moved one place on')
  assert.equal((await applied(fleet)).includes('ticket keys'), false, 'nothing is left to do')
  await settled()
  assert.deepEqual(await allGoOn(web, old.web), [true], 'a session from before one rotation')
  assert.deepEqual(await allGoOn(proxies, old.proxies), [true])
  const between = { web: await sessionsOf(eu), proxies: await sessionsOf(edge) }
  await ageTickets(fleet, halfDayMs)
  await applied(fleet)
  await settled()
  assert.deepEqual(await allGoOn(web, old.web), [false], 'a session from before two rotations')
  assert.deepEqual(await allGoOn(proxies, old.proxies), [false])
  assert.deepEqual(await allGoOn(web, between.web), [true])
  assert.deepEqual(await allGoOn(proxies, between.proxies), [true])

  // A renewal that keeps the key leaves them alone. nginx binds a session to the certificate, HAProxy does not.
  old = { web: await sessionsOf(eu), proxies: await sessionsOf(edge) }
  await fleet.buy({ keys: first.keys, toDay: 120 })
  const renewed = await applied(fleet)
  assert.ok(!renewed.includes('session ticket keys'), renewed)
  await settled()
  assert.deepEqual(await allGoOn(web, old.web), [false])
  assert.deepEqual(await allGoOn(proxies, old.proxies), [true])
  assert.deepEqual(await allGoOn(web, await sessionsOf(eu)), [true])

  old = { web: await sessionsOf(eu), proxies: await sessionsOf(edge) }
  await fleet.buy({ toDay: 150 })
  assert.match(await applied(fleet), /session ticket keys 4 on 5 servers, because the certificate has a new key/)
  await settled()
  assert.deepEqual(await allGoOn(web, old.web), [false])
  assert.deepEqual(await allGoOn(proxies, old.proxies), [false], 'a session from before the new key')
  assert.deepEqual(await allGoOn(web, await sessionsOf(eu)), [true])
  assert.deepEqual(await allGoOn(proxies, await sessionsOf(edge)), [true])
  assert.deepEqual((await readdir(join(fleet.stateDirectory, 'vault', 'tickets..www'))).length, 1)
})

test('renew --rekey makes all three new at once: a session from before resumes nowhere; renew alone leaves them', async () => {
  await using fleet = await startFleet({ edge: 'haproxy', gate: 'haproxy' })
  const configure = () =>
    fleet.configure((document) => {
      document.issuers = { lab: { 'local-ca': {} } }
      Object.assign(document.certificates.www, { issuer: 'lab', tickets: {} })
    })
  await configure()
  await applied(fleet)
  const [edge, gate] = [fleet.server('edge'), fleet.server('gate')]
  for (const server of fleet.servers) await nameTickets(server)
  await settled()
  const old = await sessionsOf(edge)
  const lines = (await ticketFile(edge, 'tickets.keys')).toString().split('\n')
  assert.equal((await fleet.run('renew', 'www')).exit, 0)
  await settled()
  assert.deepEqual(await allGoOn([edge, gate], old), [true])
  const { exit, stdout } = await fleet.run('renew', 'www', '--rekey')
  assert.equal(exit, 0)
  assert.match(stdout, /session ticket keys 2 on 2 servers, because the certificate has a new key/)
  assert.match(stdout, /sessions resume across 2 servers/)
  await settled()
  assert.deepEqual(await allGoOn([edge, gate], old), [false])
  const now = (await ticketFile(edge, 'tickets.keys')).toString().split('\n')
  assert.equal(now.length, 4)
  for (const line of now.slice(0, 3)) assert.ok(!lines.includes(line))
})

test('a server with other ticket keys is named, and the next apply mends what was damaged there', async () => {
  await using fleet = await startWithTickets({ 'eu-1': nginx, 'us-1': nginx, 'ap-1': nginx })
  const odd = fleet.server('us-1')
  const right = await ticketFile(odd, 'current.key')
  await writeFile(join(odd.base, 'tickets', 'current.key'), randomBytes(80))
  await reload(odd)
  await settled()
  const { exit, stdout } = await fleet.run('status')
  assert.equal(exit, 1)
  assert.match(stdout, /sessions do not resume across 3 servers.*: us-1 has other ticket keys than the rest/)
  const { resumption } = await fleet.run.json<{ resumption: Ring[] }>('status')
  assert.deepEqual(
    resumption.map(({ service, servers, verdict, odd: named }) => ({ service, servers, verdict, named })),
    [{ service: 'nginx', servers: ['eu-1', 'us-1', 'ap-1'], verdict: 'drift', named: ['us-1'] }],
  )
  assert.deepEqual(await audited(fleet), ['us-1 resumption-broken'])
  assert.match((await fleet.run('plan')).stdout, /us-1 .*sessions do not resume there/)
  assert.match(await applied(fleet), /sessions resume across 3 servers/)
  assert.deepEqual(await ticketFile(odd, 'current.key'), right)

  await fleet.configure((document) => {
    document.certificates.www.tickets = { rotate: '12h' }
    document.servers['ap-1'].probe = 'through-server'
  })
  const partly = await fleet.run('status')
  assert.equal(partly.exit, 0)
  assert.match(partly.stdout, /sessions resume across 2 servers \(nginx, .*\); not looked at from here: ap-1/)
  await withTickets(fleet)

  // Where the configuration does not name them, all that can be done is to say so.
  await forgetNamedTickets(odd)
  await settled()
  assert.match(
    await applied(fleet),
    /sessions do not resume across 3 servers.*: us-1 has other ticket keys than the rest/,
  )
})

test('ticket keys that are right on disk and were never read: one reload mends that; one that cannot is not repeated', async () => {
  const proxy: ServerOptions = { kind: 'haproxy', runtime: true }
  await using fleet = await startWithTickets({ 'eu-1': nginx, 'us-1': nginx, 'ap-1': nginx, edge: proxy, gate: proxy })
  const lost = ['us-1', 'gate'].map((name) => fleet.server(name))
  const log = (server: RealServer) => join(server.service.directory, 'reloads')
  const configure = (works: boolean) =>
    fleet.configure((document) => {
      document.certificates.www.tickets = { rotate: '12h' }
      for (const server of lost) {
        const words = works ? ['sh', '-c', `echo >>${log(server)}; exec ${server.service.reload.join(' ')}`] : ['true']
        document.servers[server.name].service[server.kind].reload = words
      }
    })
  const reloads = async () =>
    Promise.all(lost.map(async (server) => (await readFile(log(server), 'utf8').catch(() => '')).length))

  // Two rotations, so that not even the key to come is known to the rest any more.
  await configure(false)
  for (const round of [1, 2]) {
    await ageTickets(fleet, halfDayMs)
    assert.match(await applied(fleet), new RegExp(`session ticket keys ${round + 1} on 5 servers`))
  }
  await configure(true)
  assert.equal((await fleet.run('status')).exit, 1)
  const { stdout } = await fleet.run('plan')
  assert.match(stdout, /us-1 .*sessions do not resume there: reloaded once more/)
  assert.match(stdout, /gate .*sessions do not resume there: reloaded once more/)
  const mended = await applied(fleet)
  assert.match(mended, /sessions resume across 3 servers/)
  assert.match(mended, /sessions resume across 2 servers/)
  assert.deepEqual(await reloads(), [1, 1])
  await settled()
  assert.equal((await fleet.run('status')).exit, 0)
  assert.doesNotMatch((await fleet.run('plan')).stdout, /do not resume/)

  // The next set, in a service that names none: one reload with it, one for what is seen behind it, and no more.
  await ageTickets(fleet, halfDayMs)
  for (const server of lost) await forgetNamedTickets(server)
  await settled()
  for (let round = 0; round < 4; round++) await applied(fleet)
  assert.deepEqual(await reloads(), [3, 3])
  assert.match((await fleet.run('plan')).stdout, /us-1 .*sessions do not resume there, after one more reload either/)
})

test('one reload for a new certificate and its ticket keys, none where nothing is due', async () => {
  await using fleet = await startWithTickets({ 'eu-1': nginx })
  const server = fleet.server('eu-1')
  const log = join(server.service.directory, 'reloads')
  const script = join(server.service.directory, 'counted')
  await writeFile(script, `#!/bin/sh\necho >>${log}\nexec ${server.service.reload.join(' ')}\n`, { mode: 0o755 })
  await fleet.configure((document) => {
    document.certificates.www.tickets = { rotate: '12h' }
    document.servers['eu-1'].service.nginx.reload = [script]
  })
  const reloads = async () => (await readFile(log, 'utf8').catch(() => '')).length
  await fleet.buy()
  assert.match(await applied(fleet), /session ticket keys 2 on 1 server/)
  assert.equal(await reloads(), 1)
  await applied(fleet)
  assert.equal(await reloads(), 1)
})

test('no rotation while a server has not got the key to come; it is said, and made up for', async () => {
  await using fleet = await startWithTickets({ 'eu-1': nginx, 'us-1': nginx })
  const [eu, us] = [fleet.server('eu-1'), fleet.server('us-1')]
  await fleet.configure((document) => {
    document.certificates.www.tickets = { rotate: '12h' }
    document.servers['us-1'].ssh.port = 9
  })
  await ageTickets(fleet, halfDayMs)
  assert.equal((await fleet.run('apply')).exit, 75, 'us-1 cannot be reached')
  assert.equal((await ticketState(fleet)).number, 2)
  const session = await keepSession(eu, 'TLSv1.3')
  assert.ok(await goesOn(us, session), 'what eu-1 encrypts with now, us-1 has as the one to come')
  await ageTickets(fleet, halfDayMs)
  const { stdout } = await fleet.run('apply')
  assert.match(stdout, /are to be rotated, and wait for us-1/)
  assert.equal((await ticketState(fleet)).number, 2)
  const status = await fleet.run('status')
  assert.match(status.stdout, /session ticket keys 2, since .*; us-1 has not got them/)
  await withTickets(fleet)
  await applied(fleet)
  assert.match(await applied(fleet), /session ticket keys 3 on 2 servers/)
})

for (const [what, change] of [
  ['test', { exit: 'SERVICE_TEST_FAILED', state: /state: / }],
  [
    'reload',
    {
      exit: 'RELOAD_FAILED',
      state: /state: the files that were there before are back on eu-1\n {2}next: {2}on eu-1: /,
    },
  ],
] as const) {
  test(`a ${what} that fails with new ticket keys brings the ones before back`, async () => {
    await using fleet = await startWithTickets({ 'eu-1': nginx, 'us-1': nginx })
    const server = fleet.server('eu-1')
    const old = await readlink(join(server.base, 'tickets'))
    const kept = await ticketFile(server, 'current.key')
    const session = await keepSession(server, 'TLSv1.3')
    const script = join(server.service.directory, 'failing')
    const command = server.service[what].join(' ')
    await writeFile(
      script,
      `#!/bin/sh\n[ "$(readlink ${server.base}/tickets)" = ${old} ] || { echo not these; exit 3; }\nexec ${command}\n`,
      { mode: 0o755 },
    )
    await fleet.configure((document) => {
      document.certificates.www.tickets = { rotate: '12h' }
      document.servers['eu-1'].service.nginx[what] = [script]
    })
    await ageTickets(fleet, halfDayMs)
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 75)
    assert.match(stderr, new RegExp(change.exit))
    assert.match(stderr, /eu-1 {2}rolledBack/)
    assert.match(stderr, change.state)
    assert.equal(await readlink(join(server.base, 'tickets')), old)
    assert.deepEqual(await ticketFile(server, 'current.key'), kept)
    assert.deepEqual(
      (await readdir(server.base)).filter((name) => name.startsWith('tickets-')),
      [old],
    )
    await settled()
    assert.ok(await goesOn(server, session))
    await withTickets(fleet)
    await applied(fleet)
    assert.notEqual(await readlink(join(server.base, 'tickets')), old)
    assert.equal((await fleet.run('status')).exit, 0)
  })
}

test('after a kill -9 at any moment of a rotation the service has whole ticket keys, and the next apply finishes', {
  timeout: 300_000,
}, async () => {
  await using fleet = await startWithTickets({ 'eu-1': nginx, edge: 'haproxy' })
  await fleet.configure((document) => {
    document.certificates.www.tickets = { rotate: '12h' }
    document.rollout['confirm-within'] = '5s'
  })
  await ageTickets(fleet, halfDayMs)
  const startedMs = performance.now()
  await applied(fleet)
  const durationMs = performance.now() - startedMs
  const states = new Set<string>()
  for (let round = 0; round < 12; round++) {
    await ageTickets(fleet, halfDayMs)
    const { child, ended } = fleet.run.start('apply')
    await sleep(durationMs * (0.25 + (0.7 * round) / 12))
    child.kill('SIGKILL')
    await ended
    for (const server of fleet.servers) {
      const names = server.kind === 'haproxy' ? ['tickets.keys'] : ['previous.key', 'current.key', 'next.key']
      for (const name of names) {
        const { length } = await ticketFile(server, name)
        assert.equal(length, server.kind === 'haproxy' ? 3 * 109 : 80)
      }
    }
    const { number, held } = await ticketState(fleet)
    states.add(`${Object.values(held).filter((each) => each === number).length} of 2`)
    if (round % 3 === 2) {
      await finishes(fleet)
      for (const server of fleet.servers)
        assert.equal((await readdir(server.base)).filter((name) => name.startsWith('tickets-')).length, 1)
    }
  }
  assert.ok(states.size > 1, `all kills hit the same: ${[...states].join()}`)
  assert.equal((await fleet.run('ledger', 'verify')).exit, 0)
  const { ticketCopies } = await fleet.run.json<{ ticketCopies: { server: string }[] }>('ledger', 'keys')
  assert.deepEqual(ticketCopies.map(({ server }) => server).sort(), ['edge', 'eu-1'])
})

/** Within the confirm time everything is either way; then one apply is enough. */
async function finishes(fleet: RealFleet): Promise<void> {
  await applied(fleet)
  const { number, held } = await ticketState(fleet)
  assert.deepEqual(Object.values(held), [number, number])
  await settled()
  assert.equal((await fleet.run('status')).exit, 0)
}

test('ticket keys that nobody asks for any more go, once no configuration names them', async () => {
  await using fleet = await startWithTickets({ 'eu-1': nginx, edge: 'haproxy' })
  await fleet.configure(() => {})
  const { exit, stdout, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.match(stderr, /eu-1 keeps its ticket keys: nginx still names them/)
  assert.match(stdout, /2 of 2 servers proven/)
  const eu = fleet.server('eu-1')
  assert.equal((await ticketFile(eu, 'current.key')).length, 80)
  for (const server of fleet.servers) await forgetNamedTickets(server)
  await applied(fleet)
  for (const server of fleet.servers)
    assert.deepEqual(
      (await readdir(server.base)).filter((name) => name.startsWith('tickets')),
      [],
    )
  const { ticketCopies } = await fleet.run.json<{ ticketCopies: unknown[] }>('ledger', 'keys')
  assert.deepEqual(ticketCopies, [])
  assert.deepEqual(await readdir(join(fleet.stateDirectory, 'vault', 'tickets..www')), [])
})
