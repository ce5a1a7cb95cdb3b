import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { chmod, chown, copyFile, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { isDeepStrictEqual, promisify } from 'node:util'
import { handshake } from '../../src/observe/handshake.ts'
import { accountIds } from '../real/account.ts'
import { type BindKey, type RunningBind, startBind, updateZone } from '../real/bind.ts'
import { audited, type FleetDocument, type RealFleet, siteName, startFleet } from '../real/fleet.ts'
import { startHaproxy } from '../real/haproxy.ts'

const hourMs = 3_600_000
const dayMs = 24 * hourMs
/** As much as a rollout to five servers and a look take on a machine that is busy. */
const shortMs = 60_000
const end = '-----END CERTIFICATE-----\n'
const proxied = 'app.lab.example'
const key: BindKey = { name: 'zone', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'z').toString('base64') }

/** How it went wrong for others (docs/stories.md), staged with real software: each is found, with a reason of its own. */
describe('how it went wrong for others, as an audit sees it', () => {
  let fleet: RealFleet
  let bind: RunningBind
  const names = [siteName, proxied]
  before(async () => {
    fleet = await startFleet({
      'eu-1': 'nginx',
      'us-1': 'haproxy',
      'ap-1': 'caddy',
      'edge-1': 'nginx',
      'edge-2': 'haproxy',
    })
    const addresses = ['eu-1', 'us-1', 'ap-1'].map((name) => `www A ${fleet.server(name).service.address}`)
    bind = await startBind({
      keys: [key],
      recursion: true,
      zones: [
        { name: 'lab.example', records: addresses, types: ['A', 'TLSA'] },
        { name: '.', servers: [{ name: 'ns1.lab.example', address: '127.0.0.1' }] },
      ],
    })
    await asThreeTopologies()
    await renew()
  })
  after(async () => {
    await bind?.stop()
    await fleet?.[Symbol.asyncDispose]()
  })
  beforeEach(async () => assert.deepEqual(await audited(fleet), []))

  async function asThreeTopologies(change: (document: FleetDocument) => void = () => {}): Promise<void> {
    const keyFile = await bind.keyFile(key)
    await fleet.configure((document) => {
      document.certificates.www.names = names
      for (const name of Object.keys(document.servers))
        document.servers[name]['key-folders'] = [join(fleet.directory, name)]
      document.sites[siteName].dns = ['eu-1', 'us-1', 'ap-1']
      document.sites[proxied] = {
        certificate: 'www',
        'reverse-proxy': { servers: ['edge-1', 'edge-2'], standby: ['edge-2'], upstreams: ['http://192.0.2.80:8080'] },
      }
      document.zones = {
        'lab.example': {
          rfc2136: { server: bind.server, 'key-file': keyFile },
          resolvers: [bind.server],
          port: bind.port,
        },
      }
      change(document)
    })
  }

  async function apply(...servers: readonly string[]): Promise<void> {
    const { exit, stderr } = await fleet.run('apply', ...(servers.length > 0 ? ['--server', ...servers] : []))
    assert.equal(exit, 0, stderr)
  }

  /** Everywhere, or on some servers only. */
  async function renew(...servers: readonly string[]) {
    const sold = await fleet.buy({ names })
    await apply(...servers)
    return sold
  }

  const allBut = (left: string) => fleet.servers.map(({ name }) => name).filter((name) => name !== left)
  const current = (server: string, file = '') => join(fleet.server(server).base, 'current', file)

  /** The folder of the newest generation of a server, or of the one before it. */
  async function generation(server: string, before = 0): Promise<string> {
    const all = (await readdir(fleet.server(server).base)).filter((name) => name.startsWith('gen-')).toSorted()
    return all.at(-1 - before) ?? assert.fail(`${server} has no such generation`)
  }

  async function pointTo(server: string, folder: string): Promise<void> {
    await rm(current(server))
    await symlink(folder, current(server))
  }

  async function reload(server: string): Promise<void> {
    const [program = '', ...words] = fleet.server(server).service.reload
    await promisify(execFile)(program, words)
  }

  /** Old workers go on for a moment behind a reload, and which process takes a connection is chance. */
  async function found(...expected: readonly string[]): Promise<void> {
    let last: string[] = []
    for (let tries = 0; tries < 20 && !isDeepStrictEqual(last, expected); tries++) last = await audited(fleet)
    assert.deepEqual(last, expected)
  }

  test('1: it was renewed and never reloaded: the new file lies on disk, the old certificate is served', async () => {
    await renew()
    await pointTo('eu-1', await generation('eu-1', 1))
    await reload('eu-1')
    await found('eu-1 never-copied', 'eu-1 not-current')
    await pointTo('eu-1', await generation('eu-1'))
    await found('eu-1 not-reloaded')
    await apply()
  })

  test('3: the standby was forgotten: no name leads to it, and it has the certificate of last time', async () => {
    await renew(...allBut('edge-2'))
    assert.deepEqual(await audited(fleet), ['edge-2 not-current', 'edge-2 standby-stale'])
    await apply()
  })

  test('4 and 5: one server was missed, and it is told until it is made up for; nobody has to remember it', async () => {
    const { authorizedKeys } = fleet.server('us-1').sshd
    const letIn = await readFile(authorizedKeys)
    await writeFile(authorizedKeys, '')
    await fleet.buy({ names })
    const { exit, stdout } = await fleet.run('apply')
    assert.notEqual(exit, 0, 'a rollout that is not whole is no success')
    assert.match(stdout, /4 of 5 servers proven/)
    assert.deepEqual(await audited(fleet), ['us-1 old-certificate', 'us-1 unreachable'])
    await writeFile(authorizedKeys, letIn)
    assert.deepEqual(await audited(fleet), ['us-1 never-copied', 'us-1 not-current'])
    await apply()
  })

  test('6: the new key was written before the new certificate arrived: the next restart would find a mixed pair', async () => {
    const other = await fleet.authority.sell({ names })
    await writeFile(current('eu-1', 'privkey.pem'), other.keyPem)
    assert.deepEqual(await audited(fleet), ['eu-1 mixed-pair'])
    await apply('eu-1')
  })

  test('7: the key can be read by everybody, or not by the service', async () => {
    await chmod(current('us-1', 'combined.pem'), 0o644)
    await found('us-1 key-readable')
    await chmod(current('us-1', 'combined.pem'), 0o600)
    const path = current('ap-1', 'privkey.pem')
    await chown(path, 0, 0)
    await chmod(path, 0o600)
    await found('ap-1 key-unreadable')
    await chown(path, 0, (await accountIds('caddy')).gid)
    await chmod(path, 0o640)
  })

  test('8: the key was in an old backup folder', async () => {
    const backup = join(fleet.directory, 'us-1', 'backup-2025', 'combined.pem')
    await mkdir(dirname(backup))
    await copyFile(current('us-1', 'combined.pem'), backup)
    await found('us-1 key-elsewhere')
    await rm(dirname(backup), { recursive: true })
  })

  test('10: the leaf without its intermediate: fine in the browser of who installed it', async () => {
    const chain = await readFile(current('eu-1', 'fullchain.pem'), 'utf8')
    await writeFile(current('eu-1', 'fullchain.pem'), `${chain.split(end)[0]}${end}`)
    await reload('eu-1')
    await found('eu-1 damaged-file', 'eu-1 incomplete-chain')
    await apply('eu-1')
  })

  test('11: an old process still listens beside the new one: some connections get the old certificate', async () => {
    const { address, port } = fleet.server('us-1').service
    const older = join(fleet.server('us-1').base, await generation('us-1', 1), 'combined.pem')
    // HAProxy listens with SO_REUSEPORT: the kernel gives each connection to one of both.
    await using forgotten = await startHaproxy({ address, port, sites: [{ names: [siteName], combined: older }] })
    assert.ok(forgotten.pid)
    await found('us-1 old-process')
    await forgotten.stop()
  })

  test('13: a new key although the old one was to be kept: the TLSA record that is published is wrong', async () => {
    const { address, port } = fleet.server('eu-1').service
    const record = `_${port}._tcp.${siteName}`
    const { spki } = await handshake({ address, port, name: siteName }, { timeoutMs: 5_000 })
    await updateZone(bind, key, `add ${record} 60 TLSA 3 1 1 ${spki}`)
    assert.deepEqual(await audited(fleet), [], 'the key that is served is the published one')
    await renew()
    await found('eu-1 tlsa-mismatch')
    await updateZone(bind, key, `delete ${record} TLSA`)
  })

  test('2 and 12: a six-day certificate at its end, by its own lifetime; then one of several servers has expired', async () => {
    const untilMs = Date.now() + shortMs
    const toDay = (untilMs - Date.now() + hourMs) / dayMs
    await fleet.buy({ names, fromDay: toDay - 6, toDay })
    await apply()
    const all = fleet.servers.map(({ name }) => `${name} expiring`).toSorted()
    assert.deepEqual(await audited(fleet), all)
    await fleet.buy({ names, toDay: 6 })
    await apply(...allBut('us-1'))
    await sleep(Math.max(0, untilMs + 1_000 - Date.now()))
    assert.deepEqual(await audited(fleet), ['us-1 expired', 'us-1 never-copied', 'us-1 not-current'])
    await apply()
    assert.deepEqual(await audited(fleet), [], 'with six days left of six there is nothing to say')
  })
})
