import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { lstat, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { type RealFleet, type RealServer, siteName, startFleet } from '../real/fleet.ts'
import { startSshd } from '../real/sshd.ts'

interface AppliedJson {
  readonly certificates: readonly {
    readonly keyCopiesSent: number
    readonly servers: readonly {
      readonly server: string
      readonly state: string
      readonly keySent: boolean
      readonly bytesSent: number
      readonly error?: { readonly code: string }
    }[]
  }[]
}

interface KeyCopyJson {
  readonly server: string
  readonly path: string
  readonly spki: string
  readonly way: string
}

async function appliedServers(fleet: RealFleet, ...words: string[]) {
  const { certificates } = await fleet.run.json<AppliedJson>('apply', ...words)
  return Object.fromEntries((certificates[0]?.servers ?? []).map((each) => [each.server, each]))
}

/** Makes a command of a server's service do something else, without an edit of the fleet file by hand. */
async function standIn(server: RealServer, name: string, script: string): Promise<string[]> {
  const file = join(server.service.directory, name)
  await writeFile(file, `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return [file]
}

test('a bought certificate gets onto nginx, Apache and HAProxy over ssh, proved by handshake', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'apache', edge: 'haproxy' })
  for (const server of fleet.servers) assert.equal(await server.served(), server.original)
  const sold = await fleet.buy()
  const planned = await fleet.run('plan')
  assert.equal(planned.exit, 0, planned.stderr)
  assert.match(planned.stdout, /3 key copies/)
  const { exit, stdout, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /3 of 3 servers proven/)
  for (const server of fleet.servers) {
    assert.equal(await server.served(), sold.fingerprint, server.name)
    assert.equal(await server.onDisk(), sold.fingerprint, server.name)
    for (const path of server.paths) assert.match(await readlink(path), /\/onecert\/www\/current\//)
  }
  assert.deepEqual(await appliedServers(fleet), {}, 'nothing is left to do')
  assert.equal((await fleet.run('status')).exit, 0)
  const { keyCopies: copies } = await fleet.run.json<{ keyCopies: KeyCopyJson[] }>('ledger', 'keys')
  const found = copies.filter(({ way }) => way.startsWith('found on'))
  assert.deepEqual(
    found.map(({ server }) => server).sort(),
    ['edge', 'eu-1', 'us-1'],
    'what was there before is a key copy',
  )
  for (const { spki, path } of found) assert.match(`${spki} ${path}`, /^[0-9a-f]{64} .*gen-0000/)
  const ours = copies.filter(({ path }) => path.includes('gen-0001'))
  assert.deepEqual(ours.map(({ server }) => server).sort(), ['edge', 'eu-1', 'us-1'])
  for (const { path, way } of ours) {
    assert.match(way, /^ssh (mlkem768|sntrup761)x25519-sha/, 'a post-quantum key exchange')
    assert.equal((await lstat(path)).mode & 0o777, 0o600)
  }
})

test('a renewal that keeps the key moves no private key: no byte of it on the connection, none in the ledger', async () => {
  await using fleet = await startFleet({
    'eu-1': { kind: 'nginx', tapped: true },
    edge: { kind: 'haproxy', tapped: true },
  })
  const first = await fleet.buy()
  assert.equal((await fleet.run('apply')).exit, 0)
  const body = first.keyPem.split('\n')[1] ?? ''
  const before = await Promise.all(fleet.servers.map((server) => server.received()))
  for (const received of before) assert.ok(received.includes(body), 'the tap sees a key that does travel')

  const renewed = await fleet.buy({ keys: first.keys, toDay: 120 })
  const servers = await appliedServers(fleet)
  for (const [at, server] of fleet.servers.entries()) {
    assert.equal(await server.served(), renewed.fingerprint)
    const received = (await server.received()).slice(before[at]?.length)
    assert.ok(!received.includes('PRIVATE KEY') && !received.includes(body), `a key went to ${server.name}`)
    assert.ok(received.includes(renewed.leafPem.split('\n')[1] ?? '-'), 'the new chain did travel')
    assert.equal(servers[server.name]?.keySent, false)
    // All that was written behind the command itself is the bytes that are reported.
    assert.equal(received.length - (received.indexOf('\n') + 1), servers[server.name]?.bytesSent)
  }
  const { keyCopies: copies } = await fleet.run.json<{ keyCopies: KeyCopyJson[] }>('ledger', 'keys')
  for (const copy of copies.filter(({ path }) => path.includes('gen-0002'))) assert.equal(copy.way, `on ${copy.server}`)
})

test('one server down: the others are done, the exit status says partial, the next apply does only what is missing', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx', 'ap-1': 'nginx' })
  const down = fleet.server('us-1')
  const { port } = down.sshd
  await down.sshd.stop()
  const sold = await fleet.buy()
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 75)
  assert.match(stderr, /us-1 \(unreachable\)/)
  for (const name of ['eu-1', 'ap-1']) assert.equal(await fleet.server(name).served(), sold.fingerprint)
  assert.equal(await down.served(), down.original)
  assert.equal((await fleet.run('status')).exit, 1)

  await using again = await startSshd({ address: down.service.address, port })
  await fleet.configure((document) => {
    document.servers['us-1'].ssh.identity = again.clientKey
    document.servers['us-1']['host-key'] = again.hostKeys[0]?.fingerprint
  })
  const servers = await appliedServers(fleet)
  assert.deepEqual(Object.keys(servers), ['us-1'])
  assert.equal(servers['us-1']?.state, 'committed')
  assert.equal(await down.served(), sold.fingerprint)
})

test('a reload that exits 0 and changes nothing is caught by verify and rolled back', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  assert.equal((await fleet.run('apply')).exit, 0)
  const proven = await server.served()
  await fleet.buy()
  await fleet.configure((document) => {
    document.servers['eu-1'].service.nginx.reload = ['/bin/true']
  })
  const servers = await appliedServers(fleet)
  assert.equal(servers['eu-1']?.state, 'rolledBack')
  assert.equal(servers['eu-1']?.error?.code, 'VERIFY_OLD_CERTIFICATE')
  assert.equal(await server.served(), proven)
  assert.equal(await server.onDisk(), proven)
})

test('a configuration that is broken already stops us before anything is changed', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  const good = await readFile(server.service.configuration, 'utf8')
  await writeFile(server.service.configuration, `${good}\nan edit that somebody has not finished\n`)
  await fleet.buy()
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 75)
  assert.match(stderr, /SERVICE_ALREADY_BROKEN/)
  assert.match(stderr, /unknown directive|unexpected end/, "the service's own words")
  assert.equal(await server.served(), server.original)
  assert.equal(await server.onDisk(), server.original)
})

test('a service that refuses the new files in its own test is never reloaded with them', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  assert.equal((await fleet.run('apply')).exit, 0)
  const proven = await server.served()
  const reloads = join(server.service.directory, 'reloads')
  const test = await standIn(
    server,
    'refuse',
    `case $(readlink ${server.base}/current) in *0001) exit 0 ;; esac; echo refused; exit 1`,
  )
  const reload = await standIn(server, 'count', `echo reload >>${reloads}; exec ${server.service.reload.join(' ')}`)
  await fleet.configure((document) => {
    Object.assign(document.servers['eu-1'].service.nginx, { test, reload })
  })
  await fleet.buy()
  const servers = await appliedServers(fleet)
  assert.equal(servers['eu-1']?.error?.code, 'SERVICE_TEST_FAILED')
  assert.equal(servers['eu-1']?.state, 'rolledBack')
  await assert.rejects(readFile(reloads), { code: 'ENOENT' })
  assert.equal(await server.served(), proven)
  assert.equal(await server.onDisk(), proven)
})

test('the first failure of the canary stops the rollout; the others are not begun', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
  await fleet.configure((document) => {
    document.servers['eu-1'].service.nginx.reload = ['/bin/false']
  })
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 75)
  assert.match(stderr, /the canary failed/)
  assert.match(stderr, /not begun: us-1/)
  const other = fleet.server('us-1')
  assert.equal(await other.served(), other.original)
  assert.ok(!(await other.sshd.output()).includes('Accepted'), 'nobody logged in there')
})

test('explicit paths are adopted once, and release gives them back as plain files', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', edge: 'haproxy' })
  const originals = new Map<string, Buffer>()
  for (const path of fleet.servers.flatMap(({ paths }) => paths)) originals.set(path, await readFile(path))
  assert.equal((await fleet.run('apply')).exit, 0)
  for (const { base, paths } of fleet.servers) {
    assert.ok((await readdir(base)).includes('gen-0000'), 'what was there is generation 0')
    for (const path of paths) {
      const name = (await readlink(path)).split('/').at(-1) ?? ''
      assert.deepEqual(await readFile(join(base, 'gen-0000', name)), originals.get(path))
    }
  }
  for (const server of fleet.servers) {
    const serving = await server.served()
    const { exit, stderr } = await fleet.run('server', 'release', server.name)
    assert.equal(exit, 0, stderr)
    for (const path of server.paths) assert.ok((await lstat(path)).isFile(), `${path} is a plain file`)
    assert.equal(await server.onDisk(), serving)
    const { keyCopies } = await fleet.run.json<{ keyCopies: KeyCopyJson[] }>('ledger', 'keys')
    const plain = keyCopies.find(({ path }) => path === server.paths.at(-1))
    assert.match(plain?.spki ?? '', /^[0-9a-f]{64}$/, 'the plain key file is a key copy')
    assert.match((await fleet.run('server', 'release', server.name)).stdout, /nothing to release/)
  }
  const { entries: effects } = await fleet.run.json<{ entries: { effect: string }[] }>('ledger')
  for (const effect of ['adopt', 'release']) assert.ok(effects.some((entry) => entry.effect === effect))
})

test('without explicit paths the service reads the generation directory, and is started where it was down', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  const text = await readFile(server.service.configuration, 'utf8')
  const current = join(server.base, 'current')
  const [chain, key] = server.paths
  assert.ok(chain && key)
  const changed = text.replace(chain, join(current, 'fullchain.pem')).replace(key, join(current, 'privkey.pem'))
  await writeFile(server.service.configuration, changed)
  process.kill(server.service.pid, 'SIGQUIT')
  await fleet.configure((document) => {
    delete document.servers['eu-1'].files
  })
  const sold = await fleet.buy()
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.equal(await server.served(), sold.fingerprint)
  assert.deepEqual((await readdir(server.base)).sort(), ['current', 'fence', 'gen-0001', 'journal'])
})

test('two applies at once: one has the lease, the other says who and leaves all alone', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const slow = await standIn(
    fleet.server('eu-1'),
    'slow',
    `sleep 2; exec ${fleet.server('eu-1').service.reload.join(' ')}`,
  )
  await fleet.configure((document) => {
    document.servers['eu-1'].service.nginx.reload = slow
  })
  const ended = await Promise.all([fleet.run('apply'), fleet.run('apply')])
  assert.deepEqual(ended.map(({ exit }) => exit).sort(), [0, 75])
  const refused = ended.find(({ exit }) => exit === 75)
  assert.match(refused?.stderr ?? '', /LEASE_HELD/)
  assert.match(refused?.stderr ?? '', /process \d+ on /)
})

test('a licence with fewer seats than servers blocks the new ones before any copy, and never a renewal', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx', 'ap-1': 'nginx' })
  const licensed = () =>
    fleet.configure((document) => {
      document.certificates.www.licence = { servers: 2 }
    })
  await licensed()
  assert.match((await fleet.run('plan')).stdout, /ap-1/)
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 78)
  assert.match(stderr, /LICENCE_SEATS/)
  const blocked = fleet.server('ap-1')
  assert.ok(!(await blocked.sshd.output()).includes('Accepted'), 'nobody logged in there')
  assert.equal(await blocked.served(), blocked.original)
  const renewed = await fleet.buy()
  assert.equal((await fleet.run('apply')).exit, 78)
  for (const name of ['eu-1', 'us-1']) assert.equal(await fleet.server(name).served(), renewed.fingerprint)
})

test('an endpoint that cannot be reached from here is proved through the server, and said to be', async () => {
  await using fleet = await startFleet({
    forwarding: 'nginx',
    prohibiting: { kind: 'nginx', sshd: { lines: ['AllowTcpForwarding no'] } },
  })
  await fleet.configure((document) => {
    for (const server of Object.values<{ probe?: string }>(document.servers)) server.probe = 'through-server'
    document.sites[siteName]['without-sni'] = true
  })
  const sold = await fleet.buy()
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.match(stderr, /forwarding {2}proven through the server, not from outside/)
  assert.match(stderr, /prohibiting {2}proven from the server itself, not from outside/)
  for (const server of fleet.servers) assert.equal(await server.served(), sold.fingerprint)
  // What is right already is looked at there, and left alone.
  const reloads = () => Promise.all(fleet.servers.map(({ base }) => readFile(join(base, 'journal'), 'utf8')))
  const before = await reloads()
  assert.match((await fleet.run('plan')).stdout, /0 of 2 servers will be changed, 2 looked at there/)
  assert.match((await fleet.run('apply')).stdout, /2 of 2 servers proven .*0 brought to it now, 2 had it/)
  assert.deepEqual(await reloads(), before)
  const { endpoints } = await fleet.run.json<{ endpoints: { server: string; site: string; vantage: string }[] }>(
    'status',
  )
  assert.deepEqual(
    endpoints.map(({ server, site, vantage }) => [server, site, vantage]),
    [
      ['forwarding', siteName, 'forwarded'],
      ['forwarding', '', 'forwarded'],
      ['prohibiting', siteName, 'on-server'],
      ['prohibiting', '', 'on-server'],
    ],
  )
  assert.match(
    (await fleet.run('status')).stdout,
    new RegExp(`${siteName}.*seen through the server at .* not from outside`),
  )
})

test('a bought file that is still the old one: renew says that nothing was issued, and changes nothing', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  assert.equal((await fleet.run('apply')).exit, 0)
  for (const option of [[], ['--force']]) {
    const { exit, stdout } = await fleet.run('renew', 'www', ...option)
    assert.equal(exit, 0)
    assert.match(stdout, /nothing was issued: .* generation 1 still/)
    assert.doesNotMatch(stdout, /not due|[1-9] brought to it now/)
  }
})

test('a server that has this very certificate already is adopted with its key: nothing travels, nothing is reloaded', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  const sold = await fleet.buy()
  const chain = sold.leafPem + fleet.authority.intermediatePem
  await writeFile(server.paths[0] ?? '', chain)
  await writeFile(server.paths[1] ?? '', sold.keyPem)
  await promisify(execFile)(server.service.reload[0] ?? '', server.service.reload.slice(1))
  const servers = await appliedServers(fleet)
  assert.equal(servers['eu-1']?.state, 'committed')
  assert.equal(servers['eu-1']?.keySent, false)
  const { keyCopies } = await fleet.run.json<{ keyCopies: KeyCopyJson[] }>('ledger', 'keys')
  assert.equal(keyCopies.length, 1)
  assert.match(keyCopies[0]?.path ?? '', /gen-0000\/privkey\.pem$/)
  assert.deepEqual(await appliedServers(fleet), {}, 'the record knows that it is there')
})

test('a key that has to travel after all does so under a post-quantum key exchange, also behind an adoption', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  const first = await fleet.buy()
  assert.equal((await fleet.run('apply')).exit, 0)
  // The record says that the key is there. Then somebody puts an old backup over it.
  const stranger = await fleet.authority.sell({ names: [siteName] })
  for (const path of server.paths) await rm(path)
  await writeFile(server.paths[0] ?? '', stranger.leafPem)
  await writeFile(server.paths[1] ?? '', stranger.keyPem)
  await rm(server.base, { recursive: true })

  const renewed = await fleet.buy({ keys: first.keys })
  assert.match((await fleet.run('plan')).stdout, /the key is there already/)
  const servers = await appliedServers(fleet)
  assert.equal(servers['eu-1']?.keySent, true)
  assert.equal(await server.served(), renewed.fingerprint)
  const { keyCopies } = await fleet.run.json<{ keyCopies: KeyCopyJson[] }>('ledger', 'keys')
  const copy = keyCopies.find(({ path }) => path.includes('gen-0002'))
  assert.match(copy?.way ?? '', /^ssh (mlkem768|sntrup761)x25519-sha/)
})
