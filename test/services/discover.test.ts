import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { readDiscovery } from '../../src/services/discover/discover.ts'
import { discoverable } from '../../src/services/discover/dump.ts'
import { parseListen } from '../../src/services/discover/found.ts'

const read = (kind: (typeof discoverable)[number], text: string) => readDiscovery(kind, text.split('\n')).sites

test('an address to listen at is read in every way in which it is written', () => {
  const all = (port: number) => [{ address: null, port }]
  assert.deepEqual(parseListen('443', 80), all(443))
  assert.deepEqual(parseListen('*:8443', 80), all(8443))
  assert.deepEqual(parseListen('[::]:443', 80), all(443))
  assert.deepEqual(parseListen(':443', 80), all(443))
  assert.deepEqual(parseListen('192.0.2.1', 443), [{ address: '192.0.2.1', port: 443 }])
  assert.deepEqual(parseListen('[2001:db8::1]:443', 80), [{ address: '2001:db8::1', port: 443 }])
  assert.deepEqual(parseListen('unix:/run/x.sock', 80), [])
  assert.deepEqual(parseListen('192.0.2.1:99999', 80), [])
})

test('nginx: a file is read where it is included, and what a server does not say the block around it says', () => {
  const [first, second] = read(
    'nginx',
    `# configuration file /etc/nginx/nginx.conf:
http {
ssl_certificate /etc/ssl/all.pem;
ssl_certificate_key /etc/ssl/all.key;
include sites/*.conf;
}
# configuration file /etc/nginx/sites/b.conf:
server {
listen 443 ssl;
server_name b.domain.example
c.domain.example;
}
server
{
listen 127.0.0.1:8443 ssl;
include snippets/tls.conf;
server_name d.domain.example;
}
# configuration file /etc/nginx/snippets/tls.conf:
ssl_certificate /etc/ssl/own.pem;
ssl_certificate_key /etc/ssl/own.key;`,
  )
  assert.deepEqual(first, {
    names: ['b.domain.example', 'c.domain.example'],
    listens: [{ address: null, port: 443 }],
    certificates: [{ chain: '/etc/ssl/all.pem', key: '/etc/ssl/all.key' }],
  })
  assert.deepEqual(second?.certificates, [{ chain: '/etc/ssl/own.pem', key: '/etc/ssl/own.key' }])
})

test('nginx: files that include each other end', () => {
  assert.deepEqual(
    read('nginx', '# configuration file /a/a.conf:\ninclude b.conf;\n# configuration file /a/b.conf:\ninclude a.conf;'),
    [],
  )
})

test('HAProxy: which certificate is for which name, the certificates say', () => {
  const found = readDiscovery('haproxy', [
    '# configuration file /etc/haproxy/haproxy.cfg:',
    'global',
    '  crt-base /etc/haproxy',
    'frontend a',
    '  bind 192.0.2.1:443,:::443 ssl crt certs/ crt /srv/one.pem alpn h2',
    '  bind :80',
    '# file 600 root:root /etc/haproxy/certs/www.pem',
    '# names /etc/haproxy/certs/www.pem www.domain.example shop.domain.example ',
    '# file 644 root:root /etc/haproxy/certs/README',
  ])
  assert.deepEqual(
    found.sites.map(({ names, certificates }) => [names, certificates[0]?.chain]),
    [
      [['www.domain.example', 'shop.domain.example'], '/etc/haproxy/certs/www.pem'],
      [[], '/srv/one.pem'],
    ],
  )
  assert.deepEqual(found.sites[0]?.listens, [
    { address: '192.0.2.1', port: 443 },
    { address: null, port: 443 },
  ])
})

test('Postfix, Dovecot and PostgreSQL: paths of the settings, and the port that is looked at', () => {
  const pair = [{ chain: '/etc/ssl/mail.pem', key: '/etc/ssl/mail.key' }]
  assert.deepEqual(
    read(
      'postfix',
      'smtpd_tls_cert_file = /etc/ssl/mail.pem\nsmtpd_tls_key_file = /etc/ssl/mail.key\nmyhostname = mail.domain.example',
    ),
    [{ names: ['mail.domain.example'], listens: [{ address: null, port: 25 }], certificates: pair }],
  )
  assert.deepEqual(read('postfix', 'smtpd_tls_chain_files = /etc/ssl/all.pem')[0]?.certificates, [
    { chain: '/etc/ssl/all.pem', key: null },
  ])
  assert.deepEqual(read('dovecot', 'ssl = required\nssl_cert = </etc/ssl/mail.pem\nssl_key = </etc/ssl/mail.key'), [
    { names: [], listens: [{ address: null, port: 993 }], certificates: pair },
  ])
  assert.deepEqual(read('dovecot', 'ssl = no\nssl_cert = </etc/ssl/mail.pem'), [])
  assert.deepEqual(
    read(
      'postgresql',
      `# configuration file /etc/postgresql/15/main/postgresql.conf:
port = 5433				# (change requires restart)
ssl = on
ssl_cert_file = '/etc/ssl/mail.pem'
ssl_key_file = '/etc/ssl/mail.key'`,
    ),
    [{ names: [], listens: [{ address: null, port: 5433 }], certificates: pair }],
  )
})

test('whatever a server says is read without a crash', () => {
  const piece = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 20 }),
    fc.constantFrom(
      ...['# configuration file /a:', '# file 600 root:root /a', '# names /a b.example', '{', '}', '[', ']', ';', '\n'],
      ...['server {', 'server', 'http', 'listen 443 ssl;', 'server_name a.example', 'include *;', 'include /a;'],
      ...['ssl_certificate /a;', 'ssl_certificate_key /b;', '<VirtualHost *:443>', '</VirtualHost>', '<VirtualHost'],
      ...['SSLEngine on', 'SSLCertificateFile /a', 'Define x /y', '  bind :443 ssl crt /a', 'frontend x'],
      ...['{"apps":{"http":{"servers":{"a":{"listen":[":443"]}}},"tls":{}}}', 'null', 'ssl_cert = </a', 'port = x'],
    ),
  )
  const text = fc.array(piece, { maxLength: 30 })
  for (const kind of discoverable) {
    fc.assert(
      fc.property(text, (pieces) => {
        for (const { listens } of read(kind, pieces.join('\n')))
          for (const { port } of listens) assert.ok(port > 0 && port < 65_536)
      }),
      { numRuns: 200 },
    )
  }
})
