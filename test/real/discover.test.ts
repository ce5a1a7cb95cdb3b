import assert from 'node:assert/strict'
import { chmod, mkdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { parse } from 'yaml'
import type { Server } from '../../src/fleet/fleet.ts'
import { localReach } from '../../src/reach/local.ts'
import { receiverText } from '../../src/reach/receiver.ts'
import { readDiscovery } from '../../src/services/discover/discover.ts'
import { type Discoverable, dumpsFor } from '../../src/services/discover/dump.ts'
import { onecert } from '../onecert.ts'
import { writeCertificate } from './certificate.ts'
import { startFleet } from './fleet.ts'
import { makeDirectory } from './running.ts'

const secret = 'hunter2-S3cretToken'

interface Place extends AsyncDisposable {
  readonly directory: string
  /** Certificates by name. */
  readonly certificate: Readonly<Record<'www' | 'shop', { chain: string; key: string; combined: string }>>
  write(files: Readonly<Record<string, string>>): Promise<void>
}

async function makePlace(): Promise<Place> {
  const directory = await makeDirectory('discover')
  const made = async (name: string) => {
    await mkdir(join(directory, 'tls', name), { recursive: true })
    return writeCertificate(join(directory, 'tls', name), [`${name}.domain.example`])
  }
  const certificate = { www: await made('www'), shop: await made('shop') }
  await chmod(certificate.www.key, 0o640)
  return {
    directory,
    certificate,
    async write(files) {
      for (const [name, text] of Object.entries(files)) {
        await mkdir(dirname(join(directory, name)), { recursive: true })
        await writeFile(join(directory, name), text)
      }
    },
    [Symbol.asyncDispose]: () => rm(directory, { recursive: true }),
  }
}

const here = { name: 'here' } as Server

/** What the receiver of this machine says, as it says it and as it is read. */
async function discovered(kind: Discoverable, dump: readonly string[]) {
  const receiver = receiverText({
    directory: '/nonexistent',
    test: [],
    reload: [],
    start: [],
    keyFolders: [],
    lineages: [],
    kind,
    dumps: { [kind]: dump },
    includes: {},
    includeNamed: false,
  })
  const connection = await localReach.open(here, { receiver, carriesKey: false, timeoutMs: 10_000 })
  try {
    const { ok, output } = await connection.request('discover', [kind])
    assert.ok(ok)
    const said = output.join('\n')
    assert.ok(!said.includes(secret), said)
    assert.doesNotMatch(said, /PRIVATE KEY|BEGIN/)
    return { said, ...readDiscovery(kind, output) }
  } finally {
    await connection.close()
  }
}

function nginxFiles({ directory, certificate: { www, shop } }: Place): Record<string, string> {
  return {
    'nginx/nginx.conf': `# the main file
user www-data;
pid ${directory}/nginx.pid;
events { worker_connections 64; }
http {
  log_format json escape=json '{ "time": "$time_iso8601", "token": "${secret}" }';
  map $http_upgrade $connection_upgrade { default upgrade; '' close; }
  upstream app { server 127.0.0.1:9; }
  ssl_protocols TLSv1.2 TLSv1.3;
  include sites-enabled/*;
  include ${directory}/nginx/conf.d/*.conf;
}
`,
    'nginx/snippets/tls-www.conf': `ssl_certificate "${www.chain}"; # leaf and intermediates
ssl_certificate_key ${www.key};
`,
    'nginx/sites-available/www': `server {
  listen 127.0.0.1:18080 default_server;
  server_name www.domain.example;
  return 301 https://$host$request_uri;
}
server {
  listen 192.0.2.11:443 ssl http2;
  listen [::]:443 ssl http2;
  server_name www.domain.example
              www2.domain.example;
  include snippets/tls-www.conf;
  location / {
    proxy_pass http://app;
    proxy_set_header Authorization "Basic ${secret}";
    proxy_set_header X-Two "{a;b} ${secret}";
    auth_basic "closed";
    auth_basic_user_file /etc/nginx/htpasswd;
  }
}
`,
    'nginx/conf.d/shop.conf': `server { listen 443 ssl; server_name shop.domain.example *.shop.domain.example; ssl_certificate ${shop.chain}; ssl_certificate_key ${shop.key}; add_header X-Key "${secret}"; }
`,
  }
}

const nginxCommand = ({ directory }: Place, word: string) => [
  ...['nginx', '-p', `${directory}/nginx/`, '-e', '/dev/null', '-c', `${directory}/nginx/nginx.conf`, word],
]

test('nginx: includes, links, names over several lines, one-line servers; no line with a secret leaves the server', async () => {
  await using place = await makePlace()
  const { www, shop } = place.certificate
  await place.write(nginxFiles(place))
  await mkdir(join(place.directory, 'nginx/sites-enabled'))
  await symlink('../sites-available/www', join(place.directory, 'nginx/sites-enabled/www'))
  const { sites, facts, said } = await discovered(
    'nginx',
    dumpsFor({ kind: 'nginx', test: nginxCommand(place, '-t') }).nginx ?? [],
  )
  assert.deepEqual(sites, [
    {
      names: ['www.domain.example', 'www2.domain.example'],
      listens: [
        { address: '192.0.2.11', port: 443 },
        { address: null, port: 443 },
      ],
      certificates: [{ chain: www.chain, key: www.key }],
    },
    {
      names: ['shop.domain.example', '*.shop.domain.example'],
      listens: [{ address: null, port: 443 }],
      certificates: [{ chain: shop.chain, key: shop.key }],
    },
  ])
  assert.deepEqual(facts.get(www.key), { mode: '640', owner: 'root:root', names: [] })
  assert.deepEqual(facts.get(www.chain)?.names, ['www.domain.example'])
  assert.doesNotMatch(said, /htpasswd|proxy_|auth_/)
})

test('Apache: virtual hosts with definitions, in files that are included', async () => {
  await using place = await makePlace()
  const { www } = place.certificate
  const modules = ['mpm_event', 'authz_core', 'ssl', 'headers'].map(
    (name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so`,
  )
  await place.write({
    'apache.conf': `${modules.join('\n')}
ServerName localhost
DefaultRuntimeDir ${place.directory}
Listen 127.0.0.1:18443
Define TLS ${place.directory}/tls
Define DB_PASSWORD ${secret}
SetEnv TOKEN ${secret}
IncludeOptional ${place.directory}/sites/*.conf
`,
    'sites/www.conf': `<VirtualHost 127.0.0.1:18443>
  ServerName www.domain.example:18443
  ServerAlias www2.domain.example www3.domain.example
  SSLEngine on
  SSLCertificateFile "\${TLS}/www/chain.pem"
  SSLCertificateKeyFile \${TLS}/www/key.pem
  RequestHeader set Authorization "Basic ${secret}"
</VirtualHost>
<VirtualHost 127.0.0.1:18080>
  ServerName www.domain.example
</VirtualHost>
`,
  })
  const command = ['/usr/sbin/apache2', '-d', place.directory, '-f', `${place.directory}/apache.conf`, '-t']
  const { sites, facts } = await discovered('apache', dumpsFor({ kind: 'apache', test: command }).apache ?? [])
  assert.deepEqual(sites, [
    {
      names: ['www.domain.example', 'www2.domain.example', 'www3.domain.example'],
      listens: [{ address: '127.0.0.1', port: 18443 }],
      certificates: [{ chain: www.chain, key: www.key }],
    },
  ])
  assert.equal(facts.has(www.chain), false, 'a path with a definition in it is not known on the server')
})

test('HAProxy: a folder of certificates, and a second configuration file', async () => {
  await using place = await makePlace()
  const { www, shop } = place.certificate
  await place.write({
    'haproxy.cfg': `global
  stats socket ${place.directory}/sock mode 600 level admin
  setenv TOKEN ${secret}
userlist people
  user operator insecure-password ${secret}
defaults
  mode http
  timeout client 5s
  timeout server 5s
  timeout connect 5s
`,
    'conf.d/www.cfg': `frontend tls
  bind 127.0.0.1:18443 ssl crt ${place.directory}/certs alpn h2,http/1.1
  http-request set-header Authorization "Basic ${secret}"
  default_backend app
backend app
  server app 127.0.0.1:9
`,
    'certs/www.pem': await readFile(www.combined, 'utf8'),
    'certs/shop.pem': await readFile(shop.combined, 'utf8'),
  })
  const command = ['haproxy', '-c', '-f', `${place.directory}/haproxy.cfg`, '-f', `${place.directory}/conf.d`]
  const { sites } = await discovered('haproxy', dumpsFor({ kind: 'haproxy', test: command }).haproxy ?? [])
  assert.deepEqual(
    sites.map(({ names, certificates, listens }) => [names, certificates[0]?.chain, listens[0]?.port]),
    [
      [['shop.domain.example'], `${place.directory}/certs/shop.pem`, 18443],
      [['www.domain.example'], `${place.directory}/certs/www.pem`, 18443],
    ],
  )
})

test('Caddy: what it makes of a Caddyfile, without the values that are not about TLS', async () => {
  await using place = await makePlace()
  const { www } = place.certificate
  await place.write({
    Caddyfile: `www.domain.example, www2.domain.example:8443 {
	tls ${www.chain} ${www.key} {
		protocols tls1.2 tls1.3
	}
	basicauth /admin/* {
		operator $2a$14$Zkx19XLiW6VYouLHR5NmfOFU0z2GTNmpkT/5qqR7hx4IjWJPDhjvG
	}
	header X-Token "${secret}"
	reverse_proxy 127.0.0.1:9 {
		header_up Authorization "Basic ${secret}"
	}
}
import sites/*
`,
    'sites/shop': `https://shop.domain.example {\n\ttls ${place.certificate.shop.chain} ${place.certificate.shop.key}\n\trespond "${secret}"\n}\n`,
  })
  const { sites, said } = await discovered('caddy', [
    'caddy',
    'adapt',
    '--pretty',
    '--config',
    `${place.directory}/Caddyfile`,
  ])
  assert.deepEqual(
    sites.map(({ names, certificates, listens }) => [names, certificates[0]?.chain, listens[0]?.port]),
    [
      [['shop.domain.example'], place.certificate.shop.chain, 443],
      [['www.domain.example'], www.chain, 443],
    ],
  )
  assert.doesNotMatch(said, /\$2a|operator|Basic/)
})

test('Postfix and Dovecot: the paths of their settings, and no password', async () => {
  await using place = await makePlace()
  const { www } = place.certificate
  await place.write({
    'postfix/main.cf': `compatibility_level = 3.6
myhostname = mail.domain.example
smtpd_tls_cert_file = ${www.chain}
smtpd_tls_key_file = ${www.key}
smtp_sasl_password_maps = inline:{mail=${secret}}
`,
    'postfix/master.cf': '',
    'dovecot.conf': `ssl = required
ssl_cert = <${www.chain}
ssl_key = <${www.key}
ssl_key_password = ${secret}
`,
  })
  const { postfix = [], dovecot = [] } = dumpsFor({ kind: 'command', test: [] })
  const [postconf = '', ...names] = postfix
  const pair = [{ chain: www.chain, key: www.key }]
  const mail = await discovered('postfix', [postconf, '-c', join(place.directory, 'postfix'), ...names])
  assert.deepEqual(mail.sites, [
    { names: ['mail.domain.example'], listens: [{ address: null, port: 25 }], certificates: pair },
  ])
  const [doveconf = '', ...settings] = dovecot
  const imap = await discovered('dovecot', [doveconf, '-c', join(place.directory, 'dovecot.conf'), ...settings])
  assert.deepEqual(imap.sites, [{ names: [], listens: [{ address: null, port: 993 }], certificates: pair }])
  assert.deepEqual(imap.facts.get(www.chain)?.names, ['www.domain.example'])
})

test('onecert server discover proposes a server and its sites, and adds them to the fleet file with its comments', async () => {
  await using place = await makePlace()
  await place.write(nginxFiles(place))
  await mkdir(join(place.directory, 'nginx/sites-enabled'))
  await symlink('../sites-available/www', join(place.directory, 'nginx/sites-enabled/www'))
  const before = `version: 1
# bought each year
issuers: { lab: { local-ca: {} } }
certificates:
  www: { names: [www.domain.example, www2.domain.example], issuer: lab } # two names
servers:
  here:
    local: true # this one
    address: 192.0.2.11
    service: { nginx: { test: ${JSON.stringify(nginxCommand(place, '-t'))} } }
sites:
  www.domain.example: { certificate: www, dns: [here] }
`
  await place.write({ 'onecert.yaml': before })
  const run = onecert(join(place.directory, 'onecert.yaml'), join(place.directory, 'state'))
  const { stdout, stderr, exit } = await run('server', 'discover', 'here')
  assert.equal(exit, 0, stderr)
  const { www } = place.certificate
  assert.match(stdout, /no certificate of the fleet file covers shop\.domain\.example/)
  assert.ok(stdout.includes(`files: { www: { chain: ${www.chain}, key: ${www.key}, mode: "0640" } }`), stdout)
  assert.match(stdout, /www2\.domain\.example: \{ certificate: www, dns: \[here\] \}/)
  assert.equal((await run('server', 'discover', 'here', '--write')).exit, 73)
  assert.equal(await readFile(join(place.directory, 'onecert.yaml'), 'utf8'), before)
  const unknown = await run('server', 'discover', 'there')
  assert.equal(unknown.exit, 64, unknown.stderr)
})

test('a server that the fleet file does not have yet is added to it, where only that is changed', async () => {
  await using place = await makePlace()
  const port = 65_000
  await place.write({
    'nginx.conf': nginxFiles(place)['nginx/conf.d/shop.conf']?.replace('listen 443', `listen 127.0.0.1:${port}`) ?? '',
    // What the receiver looks for on a server of which nothing is known is on its PATH.
    'bin/nginx': `#!/bin/sh\nprintf '# configuration file /etc/nginx/nginx.conf:\\n'\ncat ${place.directory}/nginx.conf\n`,
  })
  await chmod(join(place.directory, 'bin/nginx'), 0o755)
  const before = `version: 1
issuers: { lab: { local-ca: {} } }
certificates: # one
  shop: { names: [shop.domain.example, "*.shop.domain.example"], issuer: lab }
servers: {}
sites: {}
`
  await place.write({ 'onecert.yaml': before })
  const run = onecert(join(place.directory, 'onecert.yaml'), join(place.directory, 'state'), {
    PATH: `${place.directory}/bin:${process.env.PATH}`,
  })
  const homeless = await run('server', 'discover', 'web-1', '--local', '--write', '--address', 'nowhere')
  assert.equal(homeless.exit, 64, homeless.stderr)
  const { exit, stderr, stdout } = await run(
    'server',
    'discover',
    'web-1',
    '--local',
    '--address',
    '192.0.2.21',
    '--write',
  )
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /added servers\.web-1/)
  const { shop } = place.certificate
  const after = await readFile(join(place.directory, 'onecert.yaml'), 'utf8')
  assert.equal(
    after,
    before
      .replace(
        'servers: {}',
        `servers: { web-1: { local: true, address: "192.0.2.21", port: ${port}, service: nginx, files: { shop: { chain: ${shop.chain}, key: ${shop.key} } } } }`,
      )
      .replace(
        'sites: {}',
        'sites: { shop.domain.example: { certificate: shop, dns: [web-1] }, "*.shop.domain.example": { certificate: shop, dns: [web-1] } }',
      ),
  )
  assert.equal((await run('check')).exit, 0)
})

test('of a server of the fleet file the whole way to it is proposed: the port of its sshd and the client key too', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const { user, address, port, clientKey: identity } = fleet.server('eu-1').sshd
  const { stdout, stderr, exit } = await fleet.run('server', 'discover', 'eu-1')
  assert.equal(exit, 0, stderr)
  const { servers } = parse(stdout) as { servers: Record<string, { ssh: unknown }> }
  assert.deepEqual(servers['eu-1']?.ssh, { destination: `${user}@${address}`, port, identity })
})
