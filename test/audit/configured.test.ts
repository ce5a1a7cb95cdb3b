import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeConfigured, type OwnFiles } from '../../src/audit/configured.ts'
import { readDiscovery } from '../../src/services/discover/discover.ts'

const directory = '/etc/onecert'
const own: OwnFiles = { folders: [`${directory}/www`], paths: [] }
const explicit: OwnFiles = { folders: [`${directory}/www`], paths: ['/etc/ssl/www.crt', '/etc/ssl/www.key'] }

/** As the receiver sends what `nginx -T` said. */
function nginx(
  servers: readonly (readonly [names: string, chain: string, key: string])[],
  facts: readonly string[] = [],
) {
  return readDiscovery('nginx', [
    '# configuration file /etc/nginx/nginx.conf:',
    'http {',
    ...servers.flatMap(([names, chain, key]) => [
      'server {',
      'listen 443 ssl;',
      `server_name ${names};`,
      `ssl_certificate ${chain};`,
      `ssl_certificate_key ${key};`,
      '}',
    ]),
    '}',
    ...facts,
  ])
}
const current = (lineage: string): [string, string] => [
  `${directory}/${lineage}/current/fullchain.pem`,
  `${directory}/${lineage}/current/privkey.pem`,
]
const judged = (discovery: Parameters<typeof judgeConfigured>[2], files = own) =>
  judgeConfigured(
    { certificate: 'www', server: 'eu-1' },
    new Map([
      ['www.domain.example', files],
      ['shop.domain.example', files],
    ]),
    discovery,
  )
const places = (...given: Parameters<typeof judged>) => judged(...given).map(({ place }) => place)

test('the files of ours, or explicit paths: nothing', () => {
  assert.deepEqual(places(nginx([['www.domain.example', ...current('www')]])), [])
  assert.deepEqual(places(nginx([['www.domain.example', '/etc/ssl/www.crt', '/etc/ssl/www.key']]), explicit), [])
})

test('a second virtual host for a name of ours with other files; once, with all its names', () => {
  const [only, ...others] = judged(
    nginx([
      ['www.domain.example', ...current('www')],
      [
        'shop.domain.example WWW.domain.example',
        '/etc/letsencrypt/live/www/fullchain.pem',
        '/etc/letsencrypt/live/www/privkey.pem',
      ],
    ]),
  )
  assert.deepEqual(
    [only?.reason, only?.place, others.length],
    ['other-files', '/etc/letsencrypt/live/www/fullchain.pem', 0],
  )
  assert.match(
    only?.what ?? '',
    /configuration of nginx names other files for shop\.domain\.example, www\.domain\.example$/,
  )
  assert.equal(only?.expected, '/etc/onecert/www/current')
})

test('names that are not ours, also a wildcard beside them, are not ours to judge', () => {
  const other: [string, string] = ['/etc/ssl/other.crt', '/etc/ssl/other.key']
  assert.deepEqual(
    places(
      nginx([
        ['*.domain.example', ...other],
        ['other.domain.example', ...other],
        ['_', ...other],
      ]),
    ),
    [],
  )
})

test('the chain is ours and the key is not; and a generation by its number', () => {
  const [chain] = current('www')
  assert.deepEqual(places(nginx([['www.domain.example', chain, '/etc/ssl/www.key']])), ['/etc/ssl/www.key'])
  const pinned = `${directory}/www/gen-0008/fullchain.pem`
  assert.deepEqual(places(nginx([['www.domain.example', pinned, current('www')[1]]])), [pinned])
})

test('a link of somebody that leads to ours is ours; one that leads elsewhere is not', () => {
  const links = (real: string) => ['# file 644 root:root /etc/ssl/link.crt', `# real /etc/ssl/link.crt ${real}`]
  const servers = [['www.domain.example', '/etc/ssl/link.crt', current('www')[1]]] as const
  assert.deepEqual(places(nginx(servers, links(`${directory}/www/gen-0008/fullchain.pem`))), [])
  assert.deepEqual(places(nginx(servers, links('/etc/ssl/elsewhere.crt'))), ['/etc/ssl/link.crt'])
})

test('a site with two certificates has both, and no third', () => {
  const both: OwnFiles = { folders: [`${directory}/www`, `${directory}/rsa`], paths: [] }
  assert.deepEqual(
    places(
      nginx([
        ['www.domain.example', ...current('www')],
        ['www.domain.example', ...current('rsa')],
      ]),
      both,
    ),
    [],
  )
  assert.deepEqual(places(nginx([['www.domain.example', ...current('shop')]]), both), [current('shop')[0]])
})

test('where a configuration has no names, those of the certificates count', () => {
  const haproxy = (names: string) =>
    readDiscovery('haproxy', [
      '# configuration file /etc/haproxy/haproxy.cfg:',
      'frontend tls',
      '  bind :443 ssl crt /etc/onecert/www/current/combined.pem crt /etc/haproxy/old.pem',
      '# file 600 root:root /etc/onecert/www/current/combined.pem',
      '# names /etc/onecert/www/current/combined.pem www.domain.example',
      '# real /etc/onecert/www/current/combined.pem /etc/onecert/www/gen-0008/combined.pem',
      '# file 600 root:root /etc/haproxy/old.pem',
      `# names /etc/haproxy/old.pem ${names}`,
    ])
  assert.deepEqual(places(haproxy('www.domain.example')), ['/etc/haproxy/old.pem'])
  assert.deepEqual(places(haproxy('*.domain.example')), [])
})

test('Caddy does not say which certificate is for which name: one for all of them beside ours is for the others', () => {
  const caddy = (names: string) =>
    readDiscovery('caddy', [
      ...JSON.stringify(
        {
          apps: {
            http: {
              servers: {
                srv0: { listen: [':443'], routes: [{ match: [{ host: ['www.domain.example', 'b.domain.example'] }] }] },
              },
            },
            tls: {
              certificates: {
                load_files: [
                  { certificate: current('www')[0], key: current('www')[1] },
                  { certificate: '/etc/caddy/wild.crt', key: '/etc/caddy/wild.key' },
                ],
              },
            },
          },
        },
        null,
        1,
      ).split('\n'),
      `# file 644 root:root ${current('www')[0]}`,
      `# names ${current('www')[0]} www.domain.example`,
      '# file 644 root:root /etc/caddy/wild.crt',
      `# names /etc/caddy/wild.crt ${names}`,
    ])
  assert.deepEqual(places(caddy('*.domain.example')), [])
  assert.deepEqual(places(caddy('*.domain.example www.domain.example')), ['/etc/caddy/wild.crt'])
})
