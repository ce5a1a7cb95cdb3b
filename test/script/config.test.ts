import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Onecert, onecert } from '../onecert.ts'

interface Printed {
  readonly configurations: readonly {
    readonly server: string | null
    readonly part: string
    readonly software: string
    readonly path: string | null
    readonly text: string
  }[]
}

let directory: string
let run: Onecert

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'onecert-config-'))
  const fleetFile = join(directory, 'onecert.yaml')
  await writeFile(
    fleetFile,
    `version: 1
issuers:
  ca: { acme: "https://ca.domain.example/directory", http-01: { stateless: true } }
  folder: { acme: "https://ca.domain.example/directory", http-01: { webroot: /var/www/html } }
certificates:
  www: { names: [www.domain.example, app.domain.example], issuer: ca }
  shop: { names: [shop.domain.example], issuer: folder }
servers:
  eu-1: { local: true, address: 192.0.2.11, service: nginx, include: /etc/nginx/sites/ }
  us-1: { local: true, address: 192.0.2.12, service: apache, files: { www: { chain: /tls/www.crt, key: /tls/www.key } } }
  web-1: { local: true, address: 192.0.2.21, service: nginx }
  web-2: { local: true, address: 192.0.2.22, service: { command: { reload: [true-enough] } } }
  edge: { local: true, address: 192.0.2.31, service: haproxy }
sites:
  www.domain.example: { certificate: www, dns: [eu-1, us-1] }
  shop.domain.example: { certificate: shop, load-balancer: { address: 192.0.2.20, servers: [web-1, web-2] } }
  app.domain.example: { certificate: www, reverse-proxy: { servers: [edge], upstreams: ["http://192.0.2.80:8080"] } }
`,
  )
  run = onecert(fleetFile, join(directory, 'state'))
  const made = await run('init')
  assert.ok([0, 73].includes(made.exit ?? -1), made.stderr)
})

after(() => rm(directory, { recursive: true }))

test('each server of a site gets its own software, paths, and the answer to challenges; the CA is not asked', async () => {
  const { configurations } = await run.json<Printed>('config', 'www.domain.example', '--offline')
  assert.deepEqual(
    configurations.map(({ server, part, software, path }) => [server, part, software, path]),
    [
      ['eu-1', 'member', 'nginx', '/etc/nginx/sites/onecert-www.domain.example.conf'],
      ['us-1', 'member', 'apache', '/etc/apache2/sites-enabled/onecert-www.domain.example.conf'],
    ],
  )
  const [nginx = '', apache = ''] = configurations.map(({ text }) => text)
  assert.match(nginx, /ssl_certificate \/etc\/onecert\/www\/current\/fullchain\.pem;/)
  assert.match(nginx, /include \/etc\/nginx\/sites\/onecert-www\.domain\.example\.d\/\*\.conf;/)
  assert.match(apache, /SSLCertificateFile \/tls\/www\.crt/)
  const [, thumbprint] = /return 200 "\$1\.([A-Za-z0-9_-]{43})"/.exec(nginx) ?? []
  assert.ok(thumbprint)
  assert.ok(apache.includes(`%{env:MATCH_TOKEN}.${thumbprint}`))
})

test('a server that is this machine is asked for its versions, unless they are given', async () => {
  const asked = await run('config', 'www.domain.example', '--server', 'eu-1')
  assert.equal(asked.exit, 0, asked.stderr)
  assert.match(
    asked.stdout,
    /^# Made by onecert[^\n]*\n# TLS after Mozilla's guidelines 6\.0, intermediate; for nginx \d+\.\d+\.\d+, OpenSSL 3\./,
  )
  const given = await run(
    'config',
    'www.domain.example',
    '--server',
    'eu-1',
    '--nginx',
    '1.29.3',
    '--openssl',
    '3.5.4',
    '--profile',
    'modern',
  )
  assert.match(given.stdout, /for nginx 1\.29\.3, OpenSSL 3\.5\.4\./)
  assert.match(given.stdout, /ssl_protocols TLSv1\.3;\n *ssl_ecdh_curve X25519MLKEM768:/)
})

test('a cluster: its members, and the balancer; software that is not known has to be named', async () => {
  const unknown = await run('config', 'shop.domain.example', '--offline')
  assert.equal(unknown.exit, 64, unknown.stderr)
  assert.match(unknown.stderr, /--software nginx\|apache\|haproxy\|caddy/)
  const member = await run('config', 'shop.domain.example', '--offline', '--server', 'web-1')
  assert.match(member.stdout, /location \/\.well-known\/acme-challenge\/ \{ root \/var\/www\/html; \}/)
  const balancer = await run('config', 'shop.domain.example', '--part', 'balancer')
  assert.match(balancer.stdout, /mode tcp[\s\S]*server web-1 192\.0\.2\.21:443 check inter 3s check-ssl/)
  const stream = await run('config', 'shop.domain.example', '--part', 'balancer', '--software', 'nginx')
  assert.match(stream.stdout, /stream \{[\s\S]*ssl_preread on;/)
  const none = await run('config', 'www.domain.example', '--part', 'balancer')
  assert.equal(none.exit, 64, none.stderr)
})

test('a proxy of HAProxy has its upstreams, no usual place for an include file, and says so', async () => {
  const { stdout } = await run('config', 'app.domain.example', '--offline', '--http-port', '8080')
  assert.match(stdout, /crt \/etc\/onecert\/www\/current\/combined\.pem/)
  assert.match(stdout, /server upstream-1 192\.0\.2\.80:8080 check/)
  assert.match(stdout, /bind :8080\n/)
  const { exit, stderr } = await run('config', 'app.domain.example', '--offline', '--install')
  assert.equal(exit, 78, stderr)
  assert.match(stderr, /INCLUDE_NO_PLACE/)
})

test('what cannot be is refused with the next thing to do', async () => {
  for (const [words, what] of [
    [['config', 'ww.domain.example'], /did you mean "www\.domain\.example"/],
    [['config', 'www.domain.example', '--nginx', 'latest'], /a version such as/],
    [['config', 'www.domain.example', '--bind', 'everywhere'], /an IP address is wanted/],
    [['config', 'www.domain.example', '--install', '--uninstall'], /cannot be used with/],
  ] as const) {
    const { exit, stderr } = await run(...words)
    assert.equal(exit, 64, stderr)
    assert.match(stderr, what)
  }
})
