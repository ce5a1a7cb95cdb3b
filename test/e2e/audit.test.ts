import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { chmod, copyFile, cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { writeCertbot } from '../clients.ts'
import { writeCertificate } from '../real/certificate.ts'
import { type FleetDocument, type RealFleet, siteName, startFleet } from '../real/fleet.ts'
import { startNginx } from '../real/nginx.ts'

interface Finding {
  readonly reason: string
  readonly severity: string
  readonly server: string | null
  readonly place: string | null
  readonly what: string
  readonly expected: string | null
  readonly disk: string | null
  readonly served: string | null
  readonly repair: string
}

describe('two proxies, one of them a standby, in front of an upstream', () => {
  let fleet: RealFleet
  before(async () => {
    fleet = await startFleet({ 'edge-1': 'nginx', 'edge-2': 'haproxy', 'app-1': 'nginx' })
    await fleet.configure((document) => asProxies(document, ['http://192.0.2.80:8080']))
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
  })
  after(() => fleet?.[Symbol.asyncDispose]())

  function asProxies(document: FleetDocument, upstreams: readonly string[]): void {
    for (const name of Object.keys(document.servers))
      document.servers[name]['key-folders'] = [join(fleet.directory, name)]
    document.servers['app-1'].service = 'none'
    delete document.servers['app-1'].files
    document.sites[siteName] = {
      certificate: 'www',
      'reverse-proxy': {
        servers: ['edge-1', 'edge-2'],
        standby: ['edge-2'],
        upstreams: [...upstreams, { url: 'http://192.0.2.81:8080', server: 'app-1' }],
      },
    }
  }

  const found = async (exit: number): Promise<readonly Finding[]> => {
    const { exit: ended, stdout, stderr } = await fleet.run('audit', '--json')
    assert.equal(ended, exit, stdout + stderr)
    return JSON.parse(stdout).findings
  }
  const only = async (reason: string, server: string): Promise<Finding> => {
    const findings = await found(1)
    assert.deepEqual(
      findings.map((each) => [each.reason, each.server]),
      [[reason, server]],
      JSON.stringify(findings, null, 1),
    )
    return findings[0] as Finding
  }
  const current = (server: string) => join(fleet.server(server).base, 'current')
  const reload = async (server: string) => {
    const [program = '', ...words] = fleet.server(server).service.reload
    await promisify(execFile)(program, words)
  }

  test('nothing is wrong, again and again; and an audit changes nothing', async () => {
    const before = await fleet.run('ledger', '--json')
    for (let round = 0; round < 10; round++) assert.deepEqual(await found(0), [])
    const { stdout } = await fleet.run('audit')
    assert.match(
      stdout,
      /^nothing wrong: looked at 2 endpoints \(10 handshakes\), the files of 3 servers, 1 upstream\n$/,
    )
    assert.equal((await fleet.run('ledger', '--json')).stdout, before.stdout)
  })

  test('the standby has an old certificate: it is found although no name points to it', async () => {
    await fleet.buy({ names: [siteName] })
    const { exit, stderr } = await fleet.run('apply', '--server', 'edge-1')
    assert.equal(exit, 0, stderr)
    const findings = await found(1)
    assert.deepEqual(
      findings.map(({ reason, server }) => `${server} ${reason}`),
      ['edge-2 standby-stale', 'edge-2 not-current'],
    )
    assert.match(findings[0]?.expected ?? '', /^generation 2/)
    assert.match(findings[0]?.served ?? '', /^generation 1/)
    assert.equal(findings[0]?.disk, 'generation 1')
    await fleet.configure((document) => {
      asProxies(document, ['http://192.0.2.80:8080'])
      document.sites[siteName]['without-sni'] = true
    })
    assert.deepEqual(
      (await found(1)).filter(({ server }) => server === 'edge-2').map(({ reason }) => reason),
      ['standby-stale', 'standby-stale', 'not-current'],
      'also where it is looked at without a name',
    )
    await fleet.configure((document) => asProxies(document, ['http://192.0.2.80:8080']))
    assert.equal((await fleet.run('apply')).exit, 0)
    assert.deepEqual(await found(0), [])
  })

  test('copied, and not reloaded', async () => {
    const { base } = fleet.server('edge-1')
    const generations = (await readdir(base)).filter((name) => name.startsWith('gen-')).toSorted()
    const older = generations.find((name) => name.startsWith('gen-0001')) ?? ''
    const newest = generations.find((name) => name.startsWith('gen-0002')) ?? ''
    const point = async (to: string) => {
      await rm(current('edge-1'))
      await symlink(to, current('edge-1'))
    }
    await point(older)
    await reload('edge-1')
    await untilServed(
      'edge-1',
      async () => (await fleet.server('edge-1').onDisk()) === (await fleet.server('edge-1').served()),
    )
    await point(newest)
    const finding = await only('not-reloaded', 'edge-1')
    assert.match(finding.what, /has the new certificate on disk and serves an older one/)
    assert.equal((await fleet.run('apply')).exit, 0)
    assert.deepEqual(await found(0), [])
  })

  test('a stranger serves at the address: another virtual host, or a certificate of somebody else', async () => {
    const edge = fleet.server('edge-1')
    const key = await readFile(join(current('edge-1'), 'privkey.pem'))
    const chain = await readFile(join(current('edge-1'), 'fullchain.pem'))

    const foreign = await writeCertificate(fleet.directory, [siteName])
    await writeFile(join(current('edge-1'), 'fullchain.pem'), await readFile(foreign.chain))
    await writeFile(join(current('edge-1'), 'privkey.pem'), await readFile(foreign.key))
    await reload('edge-1')
    await untilServed('edge-1', async () => (await edge.served()) === foreign.fingerprint)
    const findings = await found(1)
    assert.deepEqual(findings.map(({ reason }) => reason).toSorted(), [
      'damaged-file',
      'mixed-pair',
      'other-certificate',
    ])
    await writeFile(join(current('edge-1'), 'fullchain.pem'), chain)
    await writeFile(join(current('edge-1'), 'privkey.pem'), key)
    await rm(foreign.key)
    await rm(foreign.combined)
    assert.equal((await fleet.run('apply')).exit, 0)
    assert.deepEqual(await found(0), [])
  })

  test('a key that everybody can read', async () => {
    const path = join(current('edge-2'), 'combined.pem')
    await chmod(path, 0o644)
    const findings = await found(1)
    assert.ok(findings.every(({ reason, server }) => reason === 'key-readable' && server === 'edge-2'))
    assert.match(findings[0]?.disk ?? '', /^mode 644/)
    await chmod(path, 0o600)
    assert.deepEqual(await found(0), [])
  })

  test('a backup of the key beside the configuration', async () => {
    const backup = join(fleet.directory, 'edge-1', 'tls', 'www key.bak')
    await copyFile(join(current('edge-1'), 'privkey.pem'), backup)
    const { place, repair } = await only('key-elsewhere', 'edge-1')
    assert.equal(place, backup)
    assert.match(repair, /delete .*www key\.bak/)
    await rm(backup)
  })

  test('somebody put a plain file at a path that leads into the current generation', async () => {
    const [chain = ''] = fleet.server('edge-1').paths
    await cp(chain, `${chain}.new`, { dereference: true })
    await rename(`${chain}.new`, chain)
    const { place } = await only('path-not-ours', 'edge-1')
    assert.equal(place, chain)
    await rm(chain)
    await symlink(join(current('edge-1'), 'fullchain.pem'), chain)
    assert.deepEqual(await found(0), [])
  })

  test('a key of the site on an upstream: in a file there', async () => {
    const folder = join(fleet.directory, 'app-1', 'etc')
    await mkdir(folder)
    await copyFile(join(current('edge-1'), 'privkey.pem'), join(folder, 'copied.key'))
    const { place, severity } = await only('key-on-upstream', 'app-1')
    assert.equal(place, join(folder, 'copied.key'))
    assert.equal(severity, 'critical')
    await rm(folder, { recursive: true })
    assert.deepEqual(await found(0), [])
  })

  test('a key of the site on an upstream: behind its own TLS, proved by handshake', async () => {
    const pair = { chain: join(current('edge-1'), 'fullchain.pem'), key: join(current('edge-1'), 'privkey.pem') }
    await using upstream = await startNginx({ sites: [{ names: ['app.lab.example'], ...pair }] })
    const url = `https://${upstream.address}:${upstream.port}`
    await fleet.configure((document) => asProxies(document, [url]))
    const [finding, ...others] = await found(1)
    assert.deepEqual([finding?.reason, finding?.place, others.length], ['key-on-upstream', url, 0])
    assert.match(finding?.what ?? '', /proves by handshake/)
    await fleet.configure((document) => asProxies(document, []))
  })

  test('a server that cannot be reached is neither good nor bad', async () => {
    await fleet.server('edge-2').sshd.stop()
    const [finding, ...others] = await found(2)
    assert.deepEqual([finding?.reason, finding?.server, others.length], ['unreachable', 'edge-2', 0])
    const { stdout } = await fleet.run('audit')
    assert.match(stdout, /unreachable/)
    await fleet.server('edge-2').service.stop()
    assert.equal((await found(2)).length, 2)
  })

  async function untilServed(server: string, isThere: () => Promise<boolean>): Promise<void> {
    for (let tries = 0; tries < 200; tries++) {
      if (await isThere()) return
      await new Promise((resolve) => setTimeout(resolve, 25))
    }
    assert.fail(`${server} does not come to serve it`)
  }
})

test('on the machine of onecert itself the key that the issuer has is no copy; one beside it is', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const live = join(fleet.directory, 'letsencrypt', 'live', siteName)
  const archive = join(fleet.directory, 'letsencrypt', 'archive', siteName)
  const sold = await fleet.authority.sell({ names: [siteName] })
  await writeCertbot(live, { sold, intermediatePem: fleet.authority.intermediatePem, number: 1 })
  const asLocal = (document: FleetDocument) => {
    const server = document.servers['eu-1']
    delete server.ssh
    delete server['host-key']
    Object.assign(server, { local: true, 'key-folders': [fleet.directory] })
  }
  const places = async () => {
    const { stdout, stderr } = await fleet.run('audit', '--json')
    assert.notEqual(stdout, '', stderr)
    return (JSON.parse(stdout).findings as Finding[]).map(({ reason, place }) => `${reason} ${place}`)
  }
  const stray = join(fleet.directory, 'stray.key')
  await fleet.configure((document) => {
    asLocal(document)
    document.issuers = { certbot: { watch: live } }
    document.certificates.www.issuer = 'certbot'
  })
  const watched = await fleet.run('apply')
  assert.equal(watched.exit, 0, watched.stderr)
  assert.deepEqual(await places(), [])
  await copyFile(join(archive, 'privkey1.pem'), stray)
  assert.deepEqual(await places(), [`key-elsewhere ${stray}`])
  await rm(stray)

  await fleet.configure(asLocal)
  const { keyPem } = await fleet.buy()
  const bought = await fleet.run('apply')
  assert.equal(bought.exit, 0, bought.stderr)
  // No issuer of the fleet file has what certbot keeps any more.
  await rm(join(fleet.directory, 'letsencrypt'), { recursive: true })
  assert.deepEqual(await places(), [])
  await writeFile(stray, keyPem)
  assert.deepEqual(await places(), [`key-elsewhere ${stray}`])
})

test('while a rollout is under way, what it has not come to yet is no drift', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx', 'ap-1': 'nginx' })
  const [begun, go] = [join(fleet.directory, 'begun'), join(fleet.directory, 'go')]
  await fleet.configure((document) => {
    document.rollout.wave = 1
    const { nginx } = document.servers['us-1'].service
    const wait = `for try in $(seq 300); do [ ! -e ${go} ] || break; sleep 0.1; done`
    nginx.reload = ['sh', '-c', `touch ${begun}; ${wait}; exec "$@"`, 'sh', ...nginx.reload]
    document.rollout['confirm-within'] = '60s'
  })
  await writeFile(go, '')
  const first = await fleet.run('apply')
  assert.equal(first.exit, 0, first.stderr)
  await rm(go)
  await rm(begun)
  await fleet.buy()
  const applying = fleet.run('apply')
  for (let tries = 0; tries < 300 && !existsSync(begun); tries++) await sleep(100)
  const { exit, stdout } = await fleet.run('audit', '--json')
  await writeFile(go, '')
  assert.equal((await applying).exit, 0)
  const { findings }: { findings: Finding[] } = JSON.parse(stdout)
  assert.deepEqual(
    findings.map(({ reason, severity, server }) => [reason, severity, server]),
    [
      ['being-changed', 'notice', 'ap-1'],
      ['being-changed', 'notice', 'ap-1'],
      ['being-changed', 'notice', 'us-1'],
    ],
  )
  assert.equal(exit, 0)
  assert.deepEqual((await fleet.run('audit')).stdout.match(/^nothing wrong/)?.length, 1)
})
