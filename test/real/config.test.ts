import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdir, rm, writeFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, request } from 'node:http'
import { request as requestTls } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { describe, test } from 'node:test'
import { handshake } from '../../src/observe/handshake.ts'
import { resumes, sessionAt } from '../../src/observe/resumption.ts'
import { type ProfileName, profiles } from '../../src/services/config/profile.ts'
import type { CertificateFiles, ConfigRequest, SiteRequest } from '../../src/services/config/request.ts'
import { balancerOf, configOf } from '../../src/services/config/software.ts'
import type { Software } from '../../src/services/config/versions.ts'
import { atLeast } from '../../src/services/config/versions.ts'
import { startApache } from './apache.ts'
import { startCaddy } from './caddy.ts'
import { writeCertificate } from './certificate.ts'
import { type CombinedSite, startHaproxy } from './haproxy.ts'
import { startNginx } from './nginx.ts'
import { chooseEndpoint, makeDirectory } from './running.ts'
import type { RunningService, TlsSite } from './service.ts'
import { visit } from './visit.ts'

const name = 'www.lab.example'
const token = 'Ab_c-9zXq'
const thumbprint = 'zigHufnftqKOGBb-q4VgDQoMpvSpHb-PXAHspQRNMJ4'

const modules = ['headers', 'remoteip', 'proxy', 'proxy_http', 'proxy_balancer', 'lbmethod_byrequests', 'slotmem_shm']

interface Endpoint {
  readonly address: string
  readonly port: number
}

/** The software with an include file of ours, and what it serves beside it. */
async function startWith(
  software: Software,
  file: string,
  { httpPort, sites = [], ...endpoint }: Endpoint & { httpPort: number; sites?: readonly (TlsSite & CombinedSite)[] },
): Promise<RunningService> {
  switch (software) {
    case 'nginx':
      return startNginx({ ...endpoint, sites, httpBlockLines: [`include ${file};`] })
    case 'apache':
      return startApache({
        ...endpoint,
        sites,
        modules,
        mainLines: [`Listen ${endpoint.address}:${httpPort}`, `Include ${file}`],
      })
    case 'haproxy':
      return startHaproxy({ ...endpoint, sites, further: file })
    case 'caddy':
      return startCaddy({ ...endpoint, sites, mainLines: [`import ${file}`], asOurselves: true })
  }
}

interface Served extends AsyncDisposable {
  readonly service: RunningService
  readonly httpPort: number
  readonly fingerprint: string
  readonly directory: string
}

async function serve(
  software: Software,
  profile: ProfileName,
  site: (files: { directory: string }) => Partial<SiteRequest>,
  versions: ConfigRequest['versions'] = {},
  proxyProtocol = false,
  tickets: string | null = null,
): Promise<Served> {
  const directory = await makeDirectory('config')
  const { fingerprint, ...files } = await writeCertificate(directory, [name])
  const { address, port } = await chooseEndpoint({})
  const { port: httpPort } = await chooseEndpoint({ address })
  const certificate: CertificateFiles =
    software === 'haproxy' ? { layout: 'combined', combined: files.combined } : { layout: 'pair', ...files }
  const config = configOf[software]({
    profile: profiles[profile],
    versions,
    bind: address,
    port,
    proxyProtocol,
    tickets,
    httpPort,
    sites: [{ name, certificates: [certificate], upstreams: [], challenge: null, more: null, ...site({ directory }) }],
  })
  const file = join(directory, 'include.conf')
  await writeFile(file, config)
  try {
    const service = await startWith(software, file, { address, port, httpPort })
    const tested = spawnSync(service.test[0] ?? '', service.test.slice(1), { encoding: 'utf8' })
    assert.equal(tested.status, 0, tested.stderr)
    return {
      service,
      httpPort,
      fingerprint,
      directory,
      async [Symbol.asyncDispose]() {
        await service.stop()
        await rm(directory, { recursive: true })
      },
    }
  } catch (error) {
    throw new Error(`${software} does not take\n${config}`, { cause: error })
  }
}

/** Whether the server takes what openssl offers, and what was agreed on. */
function offer({ address, port }: Endpoint, ...words: string[]): string | null {
  const { status, stdout } = spawnSync(
    'openssl',
    ['s_client', '-connect', `${address}:${port}`, '-servername', name, ...words],
    { input: '', encoding: 'utf8', timeout: 10_000 },
  )
  const [, version, cipher] = /^New, (\S+), Cipher is (\S+)$/m.exec(stdout) ?? []
  return status === 0 && cipher !== undefined && cipher !== '(NONE)' ? `${version} ${cipher}` : null
}

interface Page {
  readonly status: number | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

function fetched({ address, port }: Endpoint, path: string, tls: boolean): Promise<Page> {
  return new Promise((resolve, reject) => {
    const options = { host: address, port, path, headers: { host: name }, servername: name, rejectUnauthorized: false }
    const sent = (tls ? requestTls : request)(options, (answer) =>
      text(answer).then((body) => resolve({ status: answer.statusCode, headers: answer.headers, body }), reject),
    )
    sent
      .on('error', reject)
      .setTimeout(5_000, () => sent.destroy(new Error('silent')))
      .end()
  })
}

/** Says what it was asked. */
async function startUpstream() {
  const server = createServer((incoming, outgoing) => {
    outgoing.end(`${incoming.headers.host} ${incoming.headers['x-forwarded-proto']} ${incoming.url}`)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    hostPort: `127.0.0.1:${port}`,
    [Symbol.dispose]: () => {
      server.closeAllConnections()
      server.close()
    },
  }
}

const weak = {
  tls11: ['-tls1_1', '-cipher', 'ALL@SECLEVEL=0'],
  cbc: ['-tls1_2', '-cipher', 'ECDHE-ECDSA-AES128-SHA256'],
}

for (const software of Object.keys(configOf) as Software[]) {
  describe(software, () => {
    test('intermediate: TLS 1.2 with forward secrecy and 1.3, nothing older, HSTS, a redirect', async () => {
      await using served = await serve(software, 'intermediate', () => ({}))
      const { service, httpPort, fingerprint } = served
      assert.equal((await visit(service, name)).fingerprint, fingerprint)
      assert.equal(offer(service, ...weak.tls11), null)
      assert.equal(offer(service, ...weak.cbc), null)
      assert.equal(
        offer(service, '-tls1_2', '-cipher', 'ECDHE-ECDSA-CHACHA20-POLY1305'),
        'TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305',
      )
      assert.match(offer(service, '-tls1_3') ?? '', /^TLSv1\.3 /)
      assert.equal(offer(service, '-groups', 'P-521'), null)
      for (const group of ['X25519', 'P-256', 'P-384']) assert.ok(offer(service, '-groups', group), group)
      const page = await fetched(service, '/', true)
      // HAProxy adds nothing to an answer of its own: it has no content here.
      if (software !== 'haproxy') assert.equal(page.headers['strict-transport-security'], 'max-age=63072000')
      const plain = await fetched({ ...service, port: httpPort }, '/shop?a=b', false)
      assert.equal(plain.status, 301)
      assert.equal(plain.headers.location, `https://${name}:${service.port}/shop?a=b`)
    })

    test('modern: TLS 1.3 and nothing else', async () => {
      await using served = await serve(software, 'modern', () => ({}))
      assert.match(offer(served.service, '-tls1_3') ?? '', /^TLSv1\.3 /)
      assert.equal(offer(served.service, '-tls1_2'), null)
      assert.equal(offer(served.service, ...weak.tls11), null)
    })

    test('a reverse proxy passes on to each upstream, with the name and the way that was asked for', async () => {
      using one = await startUpstream()
      using two = await startUpstream()
      await using served = await serve(software, 'intermediate', () => ({ upstreams: [one.url, two.url] }))
      const page = await fetched(served.service, '/cart?x=1', true)
      assert.equal(page.headers['strict-transport-security'], 'max-age=63072000')
      assert.equal(page.body, `${name} https /cart?x=1`)
    })

    test('all addresses of the machine, IPv6 too: its own test takes that', async () => {
      const directory = await makeDirectory('all')
      const { fingerprint: _, ...files } = await writeCertificate(directory, [name])
      const endpoint = await chooseEndpoint({})
      const [port, httpPort] = [(await chooseEndpoint({})).port, (await chooseEndpoint({})).port]
      const file = join(directory, 'include.conf')
      // An empty file is a mistake to Caddy.
      await writeFile(file, '# nothing yet\n')
      const sites = [{ names: ['other.lab.example'] as const, ...files }]
      await using service = await startWith(software, file, { ...endpoint, httpPort: httpPort + 1, sites })
      const certificates = [
        software === 'haproxy'
          ? ({ layout: 'combined', combined: files.combined } as const)
          : ({ layout: 'pair', ...files } as const),
      ]
      const site = { name, certificates, upstreams: [], challenge: null, more: join(directory, 'more.d', '*.conf') }
      const request = {
        profile: profiles.intermediate,
        bind: null,
        port,
        proxyProtocol: false,
        tickets: null,
        httpPort,
        sites: [site],
      } as const
      await writeFile(file, configOf[software]({ ...request, versions: { ipv6: true } }))
      const [program = '', ...words] = service.test
      const { status, stderr } = spawnSync(program, words, { encoding: 'utf8' })
      assert.equal(status, 0, stderr)
      await rm(directory, { recursive: true })
    })

    test('sessions resume by the ticket keys that the servers share', async () => {
      if (software !== 'nginx' && software !== 'haproxy') return
      const folder = await makeDirectory('tickets')
      const keys = ['previous', 'current', 'next'].map((each) => [each, randomBytes(80)] as const)
      for (const [each, key] of keys) await writeFile(join(folder, `${each}.key`), key)
      await writeFile(join(folder, 'tickets.keys'), keys.map(([, key]) => `${key.toString('base64')}\n`).join(''))
      await using served = await serve(software, 'intermediate', () => ({}), {}, false, folder)
      const { address, port } = served.service
      for (const protocol of ['TLSv1.2', 'TLSv1.3'] as const) {
        const session = await sessionAt({ address, port, name }, protocol, { timeoutMs: 5_000 })
        assert.equal(
          await resumes({ address, port, name }, protocol, session, { timeoutMs: 5_000 }),
          'resumed',
          protocol,
        )
      }
      await rm(folder, { recursive: true })
    })

    test('a balancer may name the client before TLS', async () => {
      if (software === 'caddy') return
      await using served = await serve(software, 'intermediate', () => ({}), {}, true)
      const { address, port } = served.service
      for (const version of ['v1', 'v2'] as const) {
        const { chain } = await handshake({ address, port, name, proxyProtocol: version }, { timeoutMs: 5_000 })
        assert.equal(chain[0], served.fingerprint, version)
      }
      await assert.rejects(handshake({ address, port, name }, { timeoutMs: 5_000 }))
    })

    test('http-01 is answered where everything else is redirected', async () => {
      using far = await startUpstream()
      const path = `/.well-known/acme-challenge/${token}`
      const stateless = await serve(software, 'intermediate', () => ({ challenge: { kind: 'stateless', thumbprint } }))
      await using _stateless = stateless
      const plain = ({ service, httpPort }: Served) => ({ ...service, port: httpPort })
      assert.equal((await fetched(plain(stateless), path, false)).body, `${token}.${thumbprint}`)
      assert.equal((await fetched(plain(stateless), '/x', false)).status, 301)
      await using listening = await serve(software, 'intermediate', () => ({
        challenge: { kind: 'listen', address: far.hostPort },
      }))
      assert.match((await fetched(plain(listening), path, false)).body, new RegExp(`${path}$`))
      assert.equal((await fetched(plain(listening), '/x', false)).status, 301)
      if (software === 'haproxy') return
      await using folder = await serve(software, 'intermediate', ({ directory }) => ({
        challenge: { kind: 'webroot', webroot: directory },
      }))
      const answers = join(folder.directory, '.well-known', 'acme-challenge')
      await mkdir(answers, { recursive: true, mode: 0o755 })
      await writeFile(join(answers, token), 'the answer', { mode: 0o644 })
      assert.equal((await fetched(plain(folder), path, false)).body, 'the answer')
      assert.equal((await fetched(plain(folder), '/x', false)).status, 301)
    })
  })
}

const { stdout: opensslVersion } = spawnSync('openssl', ['version'], { encoding: 'utf8' })
const isOld = !atLeast(/^OpenSSL (\d[\d.]*)/.exec(opensslVersion)?.[1], '3.5')

for (const software of ['nginx', 'apache', 'haproxy'] as const) {
  test(`${software} of this machine takes X25519MLKEM768 exactly where its OpenSSL has it`, async () => {
    const start = () => serve(software, 'intermediate', () => ({}), { openssl: '3.5.0' })
    if (isOld) return assert.rejects(start, ({ cause }: Error) => /curve|X25519MLKEM768/i.test(String(cause)))
    await using served = await start()
    assert.ok(offer(served.service, '-groups', 'X25519MLKEM768'))
  })
}

const balancers = (Object.keys(balancerOf) as ('nginx' | 'haproxy')[]).flatMap((software) => [
  { software, proxyProtocol: null, expects: 'nothing before TLS' } as const,
  { software, proxyProtocol: software === 'nginx' ? 'v1' : 'v2', expects: 'the PROXY protocol' } as const,
])

for (const { software, proxyProtocol, expects } of balancers) {
  test(`${software} as a balancer passes TLS through to a member that expects ${expects}, and plain HTTP too`, async () => {
    const members = await makeDirectory('members')
    const files = await writeCertificate(members, [name])
    const { address, port } = await chooseEndpoint({})
    await using member = await startNginx({
      address,
      port,
      sites: [{ names: [name], ...files }],
      proxyProtocol: proxyProtocol !== null,
      http: { port: port + 1, lines: ['return 301 https://member;'] },
    })
    const own = await chooseEndpoint({})
    const { port: httpPort } = await chooseEndpoint({ address: own.address })
    const make = balancerOf[software]
    assert.ok(make)
    const gone = { name: 'web-2', address: '127.0.0.1', port: 1, proxyProtocol }
    const config = make({
      bind: own.address,
      port: own.port,
      httpPort,
      sites: [{ name, members: [{ name: 'web-1', address: member.address, port: member.port, proxyProtocol }, gone] }],
    }).replaceAll(`${member.address}:${httpPort}`, `${member.address}:${port + 1}`)
    const directory = await makeDirectory('balancer')
    const file = join(directory, 'include.cfg')
    await writeFile(file, config)
    const stream = '/usr/lib/nginx/modules/ngx_stream_module.so'
    await using balancer =
      software === 'haproxy'
        ? await startHaproxy({ ...own, sites: [], further: file })
        : await startNginx({ ...own, sites: [], mainLines: [`load_module ${stream};`, `include ${file};`] })
    // Before HAProxy has asked the one that is gone, it may choose it.
    for (let right = 0, tries = 0; right < 5 && tries < 40; tries++) {
      const seen = await visit(balancer, name).catch(() => null)
      right = seen?.fingerprint === files.fingerprint ? right + 1 : 0
      if (tries === 39) assert.fail(`no five in a row\n${config}\n${await balancer.output()}`)
    }
    assert.equal((await fetched({ ...balancer, port: httpPort }, '/', false)).headers.location, 'https://member')
    for (const each of [directory, members]) await rm(each, { recursive: true })
  })
}
