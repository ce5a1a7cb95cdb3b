import assert from 'node:assert/strict'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Status } from '../../src/actions/status.ts'
import type { Finding } from '../../src/audit/finding.ts'
import { deliver } from '../authority.ts'
import { type BindKey, type RunningBind, startBind, updateZone } from '../real/bind.ts'
import { audited, type FleetDocument, type RealFleet, siteName, startFleet } from '../real/fleet.ts'

const key: BindKey = { name: 'zone', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 't').toString('base64') }

interface Audited {
  readonly findings: readonly Finding[]
  readonly looked: { readonly endpoints: number; readonly handshakes: number; readonly upstreams: number }
}

/** What an audit must not say: that all is right where nobody looked, and that something is wrong where it is not. */
describe('what an audit says is true', () => {
  let fleet: RealFleet
  let bind: RunningBind
  before(async () => {
    fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
    bind = await startBind({
      keys: [key],
      recursion: true,
      zones: [
        { name: 'lab.example', records: [record('eu-1'), record('us-1')], types: ['A'] },
        { name: '.', servers: [{ name: 'ns1.lab.example', address: '127.0.0.1' }] },
      ],
    })
    await configure()
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
  })
  after(async () => {
    await bind?.stop()
    await fleet?.[Symbol.asyncDispose]()
  })
  beforeEach(async () => {
    await configure()
    assert.deepEqual(await audited(fleet), [])
  })

  const record = (server: string) => `www A ${fleet.server(server).service.address}`

  async function configure(change: (document: FleetDocument) => void = () => {}): Promise<void> {
    const keyFile = await bind.keyFile(key)
    await fleet.configure((document) => {
      for (const name of Object.keys(document.servers))
        document.servers[name]['key-folders'] = [join(fleet.directory, name)]
      const zone = { rfc2136: { server: bind.server, 'key-file': keyFile }, resolvers: [bind.server], port: bind.port }
      document.zones = { 'lab.example': zone }
      change(document)
    })
  }

  async function audit(...words: string[]): Promise<Audited & { readonly exit: number | null }> {
    const { exit, stdout, stderr } = await fleet.run('audit', '--json', ...words)
    assert.notEqual(stdout, '', stderr)
    return { exit, ...(JSON.parse(stdout) as Audited) }
  }
  const reasons = async (...words: string[]) =>
    (await audit(...words)).findings.map(({ reason, server, site }) => `${reason} ${server ?? site}`)

  test('the private key of the current generation is gone: the next start would find none', async () => {
    await rm(join(fleet.server('eu-1').base, 'current', 'privkey.pem'))
    const found = (await audit()).findings.find(({ reason }) => reason === 'damaged-file')
    assert.deepEqual([found?.server, found?.disk], ['eu-1', 'no private key'])
    const { exit, stderr } = await fleet.run('audit', '--fix', '--yes')
    assert.equal(exit, 0, stderr)
  })

  test('an address that is missing is a matter of its server, and of no other one that is asked about', async () => {
    await updateZone(bind, key, `delete www.lab.example. A ${fleet.server('us-1').service.address}`)
    assert.deepEqual(await reasons('--server', 'us-1'), ['address-missing us-1'])
    const { exit, findings } = await audit('--server', 'eu-1')
    assert.deepEqual([exit, findings], [0, []])
    await updateZone(bind, key, `add www.lab.example. 60 A ${fleet.server('us-1').service.address}`)
  })

  test('a strange address of a site with two certificates is one finding', async () => {
    const bought = join(fleet.directory, 'bought-rsa')
    await deliver(bought, fleet.authority, await fleet.authority.sell({ names: [siteName], rsaBits: 2048 }))
    await configure((document) => {
      const file = (name: string) => join(bought, name)
      document.issuers.rsa = {
        import: { certificate: file('leaf.pem'), chain: file('chain.pem'), key: file('key.pem') },
      }
      document.certificates.rsa = { names: [siteName], issuer: 'rsa', key: { type: 'rsa-2048' } }
      document.sites[siteName].certificate = ['www', 'rsa']
    })
    await updateZone(bind, key, 'add www.lab.example. 60 A 192.0.2.99')
    const found = (await audit()).findings.filter(({ reason }) => reason === 'address-not-ours')
    assert.deepEqual(
      found.map(({ certificate, place }) => [certificate, place]),
      [['www', '192.0.2.99']],
    )
    await updateZone(bind, key, 'delete www.lab.example. A 192.0.2.99')
  })

  test('the address of a balancer is missing: that is no server, and the servers are counted without it', async () => {
    const { port } = fleet.server('eu-1').service
    await configure((document) => {
      document.sites[siteName] = {
        certificate: 'www',
        'load-balancer': { address: '2001:db8::5', port, servers: ['eu-1', 'us-1'] },
      }
    })
    assert.deepEqual((await reasons()).toSorted(), [
      `address-missing ${siteName}`,
      `address-not-ours ${siteName}`,
      `address-not-ours ${siteName}`,
      `unreachable ${siteName}`,
    ])
    const { stdout } = await fleet.run('audit')
    assert.match(stdout, /^2 critical, 1 warning, 1 could not be looked at\n/)
    assert.match(stdout, /next: publish the address of the balancer, 2001:db8::5, in the zone/)
    const place = `[2001:db8::5]:${port}`
    const unseen = (await audit()).findings.find(({ reason }) => reason === 'unreachable')
    assert.equal(unseen?.place, place)
    const row = new RegExp(`^\\(balancer\\) +${siteName} +\\[2001:db8::5\\]:${port} +- +unknown`, 'm')
    assert.match((await fleet.run('status')).stdout, row)
  })

  test('a server that is looked at through its connection, which is gone: nobody has seen what it serves', async () => {
    await configure((document) => {
      document.servers['us-1'].probe = 'through-server'
    })
    assert.deepEqual(await reasons(), [])
    await configure((document) => {
      document.servers['us-1'].probe = 'through-server'
      // Nobody listens there.
      document.servers['us-1'].ssh.port = 1
    })
    const { exit, findings, looked } = await audit()
    assert.deepEqual(
      findings.map(({ reason, server, site, since }) => [reason, server, site, since !== null]),
      [
        ['unreachable', 'us-1', null, true],
        ['unreachable', 'us-1', siteName, true],
      ],
    )
    assert.equal(exit, 2)
    assert.deepEqual([looked.endpoints, looked.handshakes], [1, 5])
  })

  test('an upstream that serves the same certificate at a site of its own holds a copy that belongs there', async () => {
    const { address, port } = fleet.server('us-1').service
    const url = `https://${address}:${port}`
    const own = 'shop.lab.example'
    const behind = (...upstreams: readonly unknown[]) =>
      configure((document) => {
        document.certificates.www.names = [siteName, own]
        document.sites = {
          [siteName]: { certificate: 'www', 'reverse-proxy': { servers: ['eu-1'], upstreams } },
          [own]: { certificate: 'www', dns: ['us-1'] },
        }
      })
    await behind({ url, server: 'us-1' })
    const [nameless, ...others] = (await audit()).findings.filter(({ reason }) => reason === 'wrong-name')
    assert.deepEqual([nameless?.site, nameless?.repair, others], [own, 'onecert apply www', []])
    await fleet.buy({ names: [siteName, own] })
    assert.equal((await fleet.run('apply')).exit, 0)
    await updateZone(bind, key, `add ${own}. 60 A ${address}`)
    const { exit, findings } = await audit()
    assert.deepEqual([exit, findings], [0, []])

    // Of an upstream of which nobody says which server it is, that is not known.
    await behind(url)
    assert.deepEqual(await reasons(), [`key-on-upstream ${siteName}`])
  })

  test('an upstream is counted where it was looked at, and one that does not answer was not seen', async () => {
    const silent = `https://${fleet.server('eu-1').service.address}:1`
    const behind = (...upstreams: string[]) =>
      configure((document) => {
        document.sites[siteName] = { certificate: 'www', 'reverse-proxy': { servers: ['eu-1', 'us-1'], upstreams } }
      })
    await behind('http://192.0.2.80:8080')
    const { exit, looked } = await audit()
    assert.deepEqual([exit, looked.upstreams], [0, 0])
    assert.doesNotMatch((await fleet.run('audit', '--format', 'junit')).stdout, /behind the proxy/)

    await behind(silent)
    const unseen = await audit()
    assert.deepEqual(
      unseen.findings.map(({ reason, place }) => [reason, place]),
      [['unreachable', silent]],
    )
    assert.equal(unseen.exit, 2)
    assert.deepEqual((await audit('--server', 'eu-1')).looked.upstreams, 0, 'it is none of the servers asked about')
  })

  test('two servers that call their address by the same name are not taken for one another by a status', async () => {
    const { address, port } = fleet.server('eu-1').service
    await configure((document) => {
      Object.assign(document.servers['us-1'], { probe: 'through-server', address, port })
    })
    const { endpoints } = await fleet.run.json<Status>('status')
    assert.deepEqual(
      endpoints.map(({ server, vantage }) => [server, vantage === 'direct']),
      [
        ['eu-1', true],
        ['us-1', false],
      ],
    )
  })
})

test('what has expired is not proven, although it is the newest', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  // An hour and some seconds on from when certificates of this authority begin.
  await fleet.buy({ fromDay: -1, toDay: (3_600 + 20) / 86_400 })
  const untilMs = Date.now() + 20_000
  const { exit, stderr } = await fleet.run('apply')
  const before = await fleet.run('status')
  assert.ok(exit !== null && Date.now() < untilMs, stderr)
  assert.match(before.stdout, /1 of 1 endpoints proven/)
  await sleep(untilMs + 1_000 - Date.now())
  const after = await fleet.run('status')
  assert.equal(after.exit, 1)
  assert.match(after.stdout, /drift +expired at /)
  assert.match(after.stdout, /0 of 1 endpoints proven/)
})
