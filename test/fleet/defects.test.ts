import assert from 'node:assert/strict'
import { test } from 'node:test'
import { printed, stackLine } from '../base/refusals.ts'
import { good, name, placeOf, problemsOf, spoilt } from './good.ts'

interface Defect {
  readonly what: string
  /** What of the good file is replaced, and by what. */
  readonly change: readonly [string, string]
  readonly code: string
  /** The problem is told at the first place of this text. */
  readonly at: string
  readonly told: RegExp
}

const defects: readonly Defect[] = [
  {
    what: 'an unknown key at the top',
    change: ['\nservers:', '\ntagrets: {}\nservers:'],
    code: 'CONFIG_UNKNOWN_KEY',
    at: 'tagrets',
    told: /unknown key "tagrets".*version, issuers, certificates, servers, sites, zones, rollout/s,
  },
  ...(
    [
      ['a server', '    address: 192.0.2.11', '    adress: 192.0.2.11', 'adress', 'address'],
      ['a site', '{ certificate: api,', '{ certifcate: api,', 'certifcate', 'certificate'],
      ['the rollout', 'canary: 2', 'canari: 2', 'canari', 'canary'],
      ['a local CA', 'lifetime: 90d', 'lifetme: 90d', 'lifetme', 'lifetime'],
      ['an import', 'passphrase-file: pass', 'pasphrase-file: pass', 'pasphrase-file', 'passphrase-file'],
      ['a certificate', 'issuer: bought', 'isuer: bought', 'isuer', 'issuer'],
      ['a key policy', 'keep-for: 180d', 'keepfor: 180d', 'keepfor', 'keep-for'],
      ['a balancer', '      address: 203.0.113.5', '      adress: 203.0.113.5', 'adress', 'address'],
      ['the control of a balancer', 'haproxy: { socket', 'haproxy: { sokcet', 'sokcet', 'socket'],
      ['a proxy', 'upstreams:', 'upstrems:', 'upstrems', 'upstreams'],
      ['a service', '{ command: { reload', '{ command: { relaod', 'relaod', 'reload'],
      ['an ssh destination', 'identity: keys', 'idenity: keys', 'idenity', 'identity'],
      ['files of a server', 'chain: /etc/ssl/www.crt', 'chian: /etc/ssl/www.crt', 'chian', 'chain'],
      ['a licence', 'licence: { servers', 'licence: { server', 'server: 10', 'servers'],
    ] as const
  ).map(([where, found, replacement, at, meant]) => ({
    what: `an unknown key in ${where}`,
    change: [found, replacement] as const,
    code: 'CONFIG_UNKNOWN_KEY',
    at,
    told: new RegExp(`did you mean "${meant}"\\?`),
  })),
  {
    what: 'session ticket keys where no service takes them',
    change: ['    issuer: bought', '    issuer: bought\n    tickets: { rotate: 6h }'],
    code: 'CONFIG_BAD_VALUE',
    at: 'tickets: { rotate: 6h',
    told: /no server of "api" can take session ticket keys.*the service here is apache/s,
  },
  {
    what: 'session ticket keys that stay too long',
    change: ['    licence: { servers: 10 }', '    tickets: { rotate: 30d }'],
    code: 'CONFIG_BAD_DURATION',
    at: '30d',
    told: /is no duration from 10m to 7d/,
  },
  {
    what: 'a wildcard without quotes in a list',
    change: ['"*.app.domain.example"]', '*.app.domain.example]'],
    code: 'CONFIG_QUOTE_WILDCARD',
    at: '*.app.domain.example]',
    told: /needs quotes.*write "\*\.app\.domain\.example"/s,
  },
  {
    what: 'a wildcard without quotes on a line of its own',
    change: ['names: [api.domain.example]', 'names:\n      - *.api.domain.example'],
    code: 'CONFIG_QUOTE_WILDCARD',
    at: '*.api.domain.example',
    told: /write "\*\.api\.domain\.example"/,
  },
  {
    what: 'a wildcard without quotes as a value',
    change: ['issuer: lab', 'issuer: *.domain.example'],
    code: 'CONFIG_QUOTE_WILDCARD',
    at: '*.domain.example',
    told: /write "\*\.domain\.example"/,
  },
  {
    what: 'an alias that names no anchor',
    change: ['issuer: lab', 'issuer: *lab'],
    code: 'CONFIG_SYNTAX',
    at: '*lab',
    told: /the alias \*lab names no anchor/,
  },
  {
    what: 'a tab as indentation',
    change: ['    address: 192.0.2.11', '\taddress: 192.0.2.11'],
    code: 'CONFIG_SYNTAX',
    at: '\taddress',
    told: /[Tt]abs are not allowed/,
  },
  {
    what: 'a bracket that is not closed',
    change: ['dns: [eu-1, us-1] }', 'dns: [eu-1, us-1 }'],
    code: 'CONFIG_SYNTAX',
    at: '}\n  shop.domain',
    told: /\]/,
  },
  {
    what: 'a key twice',
    change: ['    location: frankfurt', '    location: frankfurt\n    address: 192.0.2.12'],
    code: 'CONFIG_DUPLICATE_KEY',
    at: 'address: 192.0.2.12',
    told: /the key "address" is here a second time.*the first is in line 21/s,
  },
  {
    what: 'two servers of one name',
    change: ['  other:', '  eu-1:'],
    code: 'CONFIG_DUPLICATE_KEY',
    at: 'eu-1:\n    ssh: root@other',
    told: /the key "eu-1" is here a second time.*line 18/s,
  },
  {
    what: 'a section twice',
    change: ['rollout:', 'sites: {}\nrollout:'],
    code: 'CONFIG_DUPLICATE_KEY',
    at: 'sites: {}',
    told: /the key "sites"/,
  },
  {
    what: 'a mode without quotes',
    change: ['mode: "0640"', 'mode: 0640'],
    code: 'CONFIG_MODE_NOT_STRING',
    at: '0640',
    told: /mode" is a number.*write "0600", with quotes/s,
  },
  ...['"0644"', '"0777"', '"600"', '"rw-------"', '"00640"'].map((mode) => ({
    what: `the mode ${mode}`,
    change: ['mode: "0640"', `mode: ${mode}`] as const,
    code: 'CONFIG_BAD_VALUE',
    at: mode,
    told: /would let others read the key, or is no mode/,
  })),
  ...['30', '"30"', '30 days', '-1d', '1e9d', '1.5h', '90D', '3651d', '1000000d', 'P30D', '""', 'd'].map((text) => ({
    what: `the duration ${text}`,
    change: ['keep-for: 180d', `keep-for: ${text}`] as const,
    code: 'CONFIG_BAD_DURATION',
    at: `${text} }\n    licence`,
    told: /is no duration from 0ms to 3650d.*such as 30d, 12h, 90m or 120s/s,
  })),
  ...['4s', '4999ms', '2h', '0s'].map((text) => ({
    what: `the confirm time ${text}`,
    change: ['confirm-within: 90s', `confirm-within: ${text}`] as const,
    code: 'CONFIG_BAD_DURATION',
    at: `${text} }`,
    told: /is no duration from 5s to 1h/,
  })),
  ...(
    [
      ['cron', '{ cron: "0 2 * *", for: 2h }', 'CONFIG_BAD_VALUE', '"0 2 * *"', /is no cron expression of five fields/],
      ['cron with seconds', '{ cron: "0 0 2 * * 0", for: 2h }', 'CONFIG_BAD_VALUE', '"0 0 2', /is no cron expression/],
      ['cron that never comes', '{ cron: "0 0 30 2 *", for: 2h }', 'CONFIG_BAD_VALUE', '"0 0 30 2', /never comes/],
      ['length', '{ cron: "0 2 * * 0", for: 8d }', 'CONFIG_BAD_DURATION', '8d', /is no duration from 1m to 7d/],
      [
        'time zone',
        '{ cron: "0 2 * * 0", for: 2h, time-zone: Berlin }',
        'CONFIG_BAD_VALUE',
        'Berlin',
        /is no time zone/,
      ],
      ['key', '{ cron: "0 2 * * 0", fro: 2h }', 'CONFIG_UNKNOWN_KEY', 'fro:', /did you mean "for"/],
    ] as const
  ).map(([where, window, code, at, told]) => ({
    what: `a wrong ${where} of a maintenance window`,
    change: ['    location: frankfurt', `    location: frankfurt\n    window: ${window}`] as const,
    code,
    at,
    told,
  })),
  {
    what: 'windows of a location that no server is in',
    change: ['\nsites:', '\nlocations: { frankfort: { window: { cron: "0 2 * * 0", for: 2h } } }\nsites:'],
    code: 'CONFIG_UNKNOWN_REFERENCE',
    at: 'frankfort',
    told: /no server is in the location "frankfort".*did you mean "frankfurt"\?/s,
  },
  {
    what: 'an issuer that is not there',
    change: ['issuer: bought', 'issuer: bougth'],
    code: 'CONFIG_UNKNOWN_REFERENCE',
    at: 'bougth',
    told: /there is no issuer "bougth".*did you mean "bought"\?/s,
  },
  {
    what: 'a certificate that is not there, in a site',
    change: ['{ certificate: api,', '{ certificate: mail,'],
    code: 'CONFIG_UNKNOWN_REFERENCE',
    at: 'mail,',
    told: /there is no certificate "mail".*there is www, api/s,
  },
  {
    what: 'a certificate that is not there, in the files of a server',
    change: ['files: { www: { combined', 'files: { web: { combined'],
    code: 'CONFIG_UNKNOWN_REFERENCE',
    at: 'web: { combined',
    told: /there is no certificate "web"/,
  },
  ...(
    [
      ['dns', 'dns: [eu-1, us-1]', 'dns: [eu-1, us-2]', 'us-2]'],
      ['a load balancer', 'servers: [us-1, other]', 'servers: [us-2, other]', 'us-2,'],
      ['a reverse proxy', 'servers: [edge]', 'servers: [us-2]', 'us-2]'],
    ] as const
  ).map(([where, found, replacement, at]) => ({
    what: `a server that is not there, in ${where}`,
    change: [found, replacement] as const,
    code: 'CONFIG_UNKNOWN_REFERENCE',
    at,
    told: /there is no server "us-2".*did you mean/s,
  })),
  {
    what: 'a site that its certificate does not name',
    change: ['  shop.domain.example:\n', '  shops.domain.example:\n'],
    code: 'CONFIG_BAD_VALUE',
    at: 'shops.domain.example',
    told: /"www" does not cover shops\.domain\.example.*names www\.domain\.example.*add shops\.domain\.example to/s,
  },
  ...(
    [
      ['exa_mple.com', 'NAME_INVALID', /label 1 "exa_mple": underscore is not allowed/],
      ['-a.example', 'NAME_INVALID', /neither begins nor ends with "-"/],
      ['a..example', 'NAME_INVALID', /label 2 is empty/],
      [`${'a'.repeat(64)}.example`, 'NAME_INVALID', /64 characters, limit 63/],
      ['"https://x.example/"', 'NAME_HAS_SCHEME', /write only the name: x\.example/],
      ['"x.example:443"', 'NAME_HAS_PORT', /write only the name: x\.example/],
      ['"*.*.example.com"', 'NAME_BAD_WILDCARD', /only one wildcard/],
      ['"exаmple.com"', 'NAME_MIXED_SCRIPT', /mixes/],
      ['192.0.2.1', 'NAME_INVALID', /an IP address/],
    ] as const
  ).map(([written, code, told]) => ({
    what: `the host name ${written.slice(0, 30)}`,
    change: ['names: [api.domain.example]', `names: [api.domain.example, ${written}]`] as const,
    code,
    at: `${written}]`,
    told,
  })),
  {
    what: 'a tag',
    change: ['service: apache', 'service: !shell apache'],
    code: 'CONFIG_TAG_FORBIDDEN',
    at: 'apache\n    probe',
    told: /the tag !shell is not allowed.*write the plain value/s,
  },
  {
    what: 'a newer version',
    change: ['version: 1', 'version: 2'],
    code: 'CONFIG_BAD_VALUE',
    at: '2\nissuers',
    told: /version 2 is for a newer onecert.*reads version 1.*upgrade onecert/s,
  },
  {
    what: 'a version as text',
    change: ['version: 1', 'version: "1"'],
    code: 'CONFIG_BAD_VALUE',
    at: '"1"',
    told: /"version" is missing or wrong.*write "version: 1"/s,
  },
  {
    what: 'a second document',
    change: ['rollout: {', '---\nrollout: {'],
    code: 'CONFIG_MULTI_DOC',
    at: '---',
    told: /a second YAML document begins here/,
  },
  {
    what: 'a command that only a shell understands',
    change: ['reload: systemctl reload haproxy', 'reload: "systemctl reload haproxy; rm -rf /"'],
    code: 'CONFIG_BAD_VALUE',
    at: '"systemctl reload haproxy; rm',
    told: /only a shell understands; no shell runs it/,
  },
  {
    what: 'a destination that ssh would take for an option',
    change: ['ssh: deploy@eu-1.domain.example', 'ssh: -oProxyCommand=sh'],
    code: 'CONFIG_BAD_VALUE',
    at: '-oProxyCommand',
    told: /is no ssh destination/,
  },
  {
    what: 'a host of a destination that ssh would take for an option',
    change: ['ssh: deploy@eu-1.domain.example', 'ssh: deploy@-oProxyCommand'],
    code: 'CONFIG_BAD_VALUE',
    at: 'deploy@-o',
    told: /has a host that begins with "-"/,
  },
  {
    what: 'a host key that is none',
    change: ['host-key: "SHA256:', 'host-key: "MD5:'],
    code: 'CONFIG_BAD_VALUE',
    at: '"MD5:',
    told: /is no fingerprint of the form SHA256:…/,
  },
  {
    what: 'a path that leaves its directory',
    change: ['directory: /srv/tls/', 'directory: /srv/../etc'],
    code: 'CONFIG_BAD_VALUE',
    at: '/srv/../etc',
    told: /must not hold "\.\."/,
  },
  ...['relative/path', '"/a b"', '"/a;b"', '"/a$(b)"', '"/a\\nb"'].map((path) => ({
    what: `the path ${path}`,
    change: ['directory: /srv/tls/', `directory: ${path}`] as const,
    code: 'CONFIG_BAD_VALUE',
    at: path,
    told: /is no absolute path of letters, digits/,
  })),
  {
    what: 'a pair of files for a service that reads one',
    change: ['files: { www: { combined: /etc/haproxy/www.pem } }', 'files: { www: { chain: /a, key: /b } }'],
    code: 'CONFIG_BAD_VALUE',
    at: 'www: { chain: /a',
    told: /do not fit haproxy.*it reads one file: "combined"/s,
  },
  {
    what: 'one file for a service that reads a pair',
    change: ['chain: /etc/ssl/www.crt, key: /etc/ssl/www.key,', 'combined: /etc/ssl/www.pem,'],
    code: 'CONFIG_BAD_VALUE',
    at: 'www: { combined: /etc/ssl',
    told: /do not fit apache.*it reads two files/s,
  },
  {
    what: 'two topologies of one site',
    change: ['dns: [eu-1, us-1] }', 'dns: [eu-1, us-1], reverse-proxy: { servers: [edge] } }'],
    code: 'CONFIG_BAD_VALUE',
    at: 'www.domain.example: {',
    told: /needs exactly one of "dns", "load-balancer" and "reverse-proxy"/,
  },
  {
    what: 'a site without a topology',
    change: ['certificate: api, dns: [us-1]', 'certificate: api'],
    code: 'CONFIG_BAD_VALUE',
    at: 'API.domain.example',
    told: /needs exactly one of "dns"/,
  },
  {
    what: 'both ways to a server',
    change: ['    local: true', '    local: true\n    ssh: root@edge'],
    code: 'CONFIG_BAD_VALUE',
    at: 'edge:\n',
    told: /needs either "ssh" or "local: true"/,
  },
  {
    what: 'two ways to know a host key',
    change: ['    location: frankfurt', '    known-hosts: known_hosts'],
    code: 'CONFIG_BAD_VALUE',
    at: 'eu-1:\n',
    told: /has both "host-key" and "known-hosts"/,
  },
  {
    what: 'two services',
    change: ['service: nginx', 'service: { nginx: {}, apache: {} }'],
    code: 'CONFIG_BAD_VALUE',
    at: 'service: { nginx',
    told: /needs exactly one service/,
  },
  {
    what: 'an unknown service',
    change: ['service: nginx', 'service: nginz'],
    code: 'CONFIG_BAD_VALUE',
    at: 'nginz',
    told: /"servers\.eu-1\.service" must be one of nginx, apache, haproxy/,
  },
  {
    what: 'Traefik without its dynamic file',
    change: ['service: nginx', 'service: traefik'],
    code: 'CONFIG_BAD_VALUE',
    at: 'traefik',
    told: /needs its dynamic file: write service: \{ traefik: \{ dynamic: \//,
  },
  {
    what: 'a cluster of PostgreSQL without its version',
    change: ['service: nginx', 'service: { postgresql: { cluster: main } }'],
    code: 'CONFIG_BAD_VALUE',
    at: 'main }',
    told: /is no cluster such as 15\/main/,
  },
  {
    what: 'the socket of another service',
    change: ['service: nginx', 'service: { nginx: { socket: /run/nginx.sock } }'],
    code: 'CONFIG_UNKNOWN_KEY',
    at: 'socket: /run',
    told: /unknown key "socket".*test, reload, start/s,
  },
  {
    what: 'two files for Postfix, that reads one',
    change: [
      'service: nginx',
      'service: postfix\n    files: { www: { chain: /etc/postfix/www.crt, key: /etc/postfix/www.key } }',
    ],
    code: 'CONFIG_BAD_VALUE',
    at: 'www: { chain: /etc/postfix',
    told: /do not fit postfix.*it reads one file: "combined"/s,
  },
  {
    what: 'a host name as an address',
    change: ['address: 192.0.2.11', 'address: eu-1.domain.example'],
    code: 'CONFIG_BAD_VALUE',
    at: 'eu-1.domain.example\n    location',
    told: /"servers\.eu-1\.address" is no IP address such as 192/,
  },
  {
    what: 'a port beyond the last',
    change: ['port: 8443', 'port: 65536'],
    code: 'CONFIG_BAD_VALUE',
    at: '65536',
    told: /65535/,
  },
  {
    what: 'a wave of nothing',
    change: ['wave: 40%', 'wave: 0%'],
    code: 'CONFIG_BAD_VALUE',
    at: '0%',
    told: /neither a number of servers nor a share such as 25%/,
  },
  {
    what: 'a name of a server that no path can have',
    change: ['  eu-1:\n', '  ../eu:\n'],
    code: 'CONFIG_BAD_VALUE',
    at: '../eu:',
    told: /"\.\.\/eu" is no name: lower-case letters/,
  },
  {
    what: 'a missing value',
    change: ['    address: 203.0.113.9\n', ''],
    code: 'CONFIG_BAD_VALUE',
    at: 'edge:\n',
    told: /"servers\.edge\.address" is missing/,
  },
  {
    what: 'one site in two spellings',
    change: ['sites:\n', 'sites:\n  WWW.domain.example: { certificate: www, dns: [eu-1] }\n'],
    code: 'CONFIG_DUPLICATE_KEY',
    at: 'www.domain.example: {',
    told: /the site "www\.domain\.example" is here.*the first is "WWW\.domain\.example" in line 44/s,
  },
  {
    what: 'two default sites of one server with different certificates',
    change: [
      'API.domain.example: { certificate: api, dns: [us-1] }',
      'API.domain.example: { certificate: api, dns: [us-1], without-sni: true }\n  a.app.domain.example: { certificate: www, without-sni: true, dns: [us-1] }',
    ],
    code: 'CONFIG_BAD_VALUE',
    at: 'true, dns',
    told: /"API\.domain\.example" and "a\.app\.domain\.example" are both the default of "us-1", with different certificates/,
  },
  {
    what: 'a quarantine without dns',
    change: ['reverse-proxy: { servers: [edge]', 'quarantine: {}\n    reverse-proxy: { servers: [edge]'],
    code: 'CONFIG_BAD_VALUE',
    at: '"*.app.domain.example":',
    told: /has "quarantine" without "dns"/,
  },
  {
    what: 'a quarantine of a name that is in none of the zones',
    change: ['dns: [eu-1, us-1] }', 'dns: [eu-1, us-1], quarantine: { keep: 2 } }'],
    code: 'CONFIG_BAD_VALUE',
    at: 'quarantine: { keep',
    told: /"www\.domain\.example" has a quarantine, and lies in none of the zones/,
  },
  {
    what: 'a server twice in dns',
    change: ['dns: [eu-1, us-1]', 'dns: [eu-1, us-1, eu-1]'],
    code: 'CONFIG_BAD_VALUE',
    at: 'eu-1] }',
    told: /"eu-1" is in "sites\.www\.domain\.example\.dns" a second time/,
  },
  {
    what: 'a server twice behind a balancer',
    change: ['servers: [us-1, other]', 'servers: [other, us-1, other]'],
    code: 'CONFIG_BAD_VALUE',
    at: 'other]\n      control',
    told: /"other" is in "sites\.shop\.domain\.example\.load-balancer\.servers" a second time/,
  },
  {
    what: 'a member of HAProxy that is none of the site',
    change: ['members: { us-1: s1 }', 'members: { us-2: s1 }'],
    code: 'CONFIG_UNKNOWN_REFERENCE',
    at: 's1 }',
    told: /there is no member "us-2".*did you mean "us-1"/s,
  },
  {
    what: 'two servers that are one for HAProxy',
    change: ['members: { us-1: s1 }', 'members: { us-1: other }'],
    code: 'CONFIG_BAD_VALUE',
    at: 'members: { us-1: other }',
    told: /"us-1" and "other" are one server of HAProxy: "other"/,
  },
  {
    what: 'a balancer whose host key is not known',
    change: [`        host-key: "SHA256:${'AbCdEfGhIj'.repeat(4)}123"\n        haproxy`, '        haproxy'],
    code: 'CONFIG_BAD_VALUE',
    at: 'control:',
    told: /has "ssh" without "host-key" or "known-hosts".*ssh-keygen -lf/s,
  },
  {
    what: 'a balancer that is nowhere',
    change: ['        ssh: root@lb-1\n', ''],
    code: 'CONFIG_BAD_VALUE',
    at: 'control:',
    told: /needs either "ssh" or "local: true"/,
  },
  {
    what: 'a name that HAProxy cannot have',
    change: ['backend: be_www', 'backend: "be www"'],
    code: 'CONFIG_BAD_VALUE',
    at: '"be www"',
    told: /is no name that HAProxy has/,
  },
  {
    what: 'a drain without an end',
    change: ['        haproxy: {', '        drain-within: 1d\n        haproxy: {'],
    code: 'CONFIG_BAD_DURATION',
    at: '1d',
    told: /no duration from 0ms to 10m|no duration from 0s to 10m|is no duration from/,
  },
  {
    what: 'a name twice in a certificate, in two spellings',
    change: ['names: [api.domain.example]', 'names: [api.domain.example, API.domain.example]'],
    code: 'CONFIG_BAD_VALUE',
    at: 'API.domain.example]',
    told: /"api\.domain\.example" is in "certificates\.api\.names" a second time/,
  },
  {
    what: 'two servers at one address and port',
    change: ['address: 203.0.113.10', 'address: 192.0.2.11'],
    code: 'CONFIG_BAD_VALUE',
    at: '192.0.2.11\n    service: { command',
    told: /"eu-1" and "other" have the same address and port.*192\.0\.2\.11 port 443; the first is in line 21/s,
  },
  {
    what: 'one port of a server twice',
    change: [
      'address: 203.0.113.10',
      'address: 203.0.113.10\n    listeners: [{ port: 25, starttls: smtp }, { port: 25 }]',
    ],
    code: 'CONFIG_BAD_VALUE',
    at: '203.0.113.10\n    listeners',
    told: /"other" has a port twice.*203\.0\.113\.10 port 25/s,
  },
  {
    what: 'one address of a server twice',
    change: ['address: 203.0.113.10', 'address: ["2001:db8::a", 203.0.113.10, "2001:DB8:0::a"]'],
    code: 'CONFIG_BAD_VALUE',
    at: '["2001:db8::a"',
    told: /"other" has an address or a port twice.*2001:db8::a port 443/s,
  },
  {
    what: "a second address that is another server's",
    change: ['address: 203.0.113.10', 'address: [203.0.113.10, 192.0.2.11]'],
    code: 'CONFIG_BAD_VALUE',
    at: '[203.0.113.10',
    told: /"eu-1" and "other" have the same address and port.*192\.0\.2\.11 port 443/s,
  },
  {
    what: 'a host name among the addresses',
    change: ['address: 203.0.113.10', 'address: [203.0.113.10, other.domain.example]'],
    code: 'CONFIG_BAD_VALUE',
    at: 'other.domain.example]',
    told: /is no IP address such as 192/,
  },
  {
    what: 'a port beside a list of listeners',
    change: ['    port: 8443', '    port: 8443\n    listeners: [{ port: 25 }]'],
    code: 'CONFIG_BAD_VALUE',
    at: 'us-1:\n',
    told: /has "port", "starttls" or "proxy-protocol" beside "listeners".*put them into the list/s,
  },
  {
    what: 'a host key of this machine',
    change: ['    local: true', '    local: true\n    known-hosts: known_hosts'],
    code: 'CONFIG_BAD_VALUE',
    at: 'edge:\n',
    told: /has "host-key" or "known-hosts" beside "local: true".*take them away/s,
  },
  {
    what: 'an issuer that is two',
    change: ['    import: { pkcs12: www.p12 }', '    watch: live/www\n    local-ca: {}'],
    code: 'CONFIG_BAD_VALUE',
    at: 'boxed',
    told: /"issuers\.boxed" needs exactly one of "acme", "import", "local-ca" and "watch"/,
  },
  ...['key: www.key', 'chain: chain.pem'].map((beside) => ({
    what: `a container with ${beside}`,
    change: ['pkcs12: www.p12', `pkcs12: www.p12, ${beside}`] as const,
    code: 'CONFIG_BAD_VALUE',
    at: 'import: { pkcs12',
    told: /"issuers\.boxed\.import" has "key" or "chain" beside "pkcs12".*take them away/s,
  })),
  ...(
    [
      ['identity: keys/deploy', 'identity: ~/.ssh/k'],
      ['known-hosts: known_hosts', 'known-hosts: ~/.ssh/known_hosts'],
      ['pkcs12: www.p12', 'pkcs12: ~ops/www.p12'],
      ['import: { pkcs12: www.p12 }', 'watch: ~/.acme.sh/www_ecc'],
      ['import: { pkcs12: www.p12 }', 'acme: https://acme.example\n    dns-01: { exec: [~/bin/dns, word] }'],
    ] as const
  ).map((change) => ({
    what: `the path ${change[1]}`,
    change,
    code: 'CONFIG_BAD_VALUE',
    at: '~',
    told: /begins with "~", which is not expanded.*write the whole path/s,
  })),
  {
    what: 'a command without its words',
    change: ['service: nginx', 'service: command'],
    code: 'CONFIG_BAD_VALUE',
    at: 'command\n',
    told: /write service: \{ command: \{ reload: \[systemctl, reload, x\] \} \}/,
  },
  {
    what: 'a host key in hexadecimal',
    change: ['host-key: "SHA256:', 'host-key: "SHA256:0:'],
    code: 'CONFIG_BAD_VALUE',
    at: '"SHA256:0:',
    told: /is no fingerprint.*onecert server scan NAME shows it/s,
  },
  ...(
    [
      ['dns: [us-1]', 'dns: []', '[] }', 'is empty'],
      ['canary: 2', 'canary: 0', '0,', 'must be at least 1'],
      ['canary: 2', 'canary: 1.5', '1.5,', 'must be a whole number'],
      ['import: { pkcs12: www.p12 }', 'import:', '\ncert', 'has no value'],
      ['dns: [us-1]', 'dns: us-1', 'us-1 }\nrollout', 'must be a list'],
      ['"http://10.0.1.5:8080"', '"10.0.1.5"', '"10.0.1.5"', 'is no URL such as http://10.0.1.5:8080'],
      ['location: frankfurt', 'location: [frankfurt]', '[frankfurt]', 'must be a text'],
      ['location: frankfurt', `location: ${'x '.repeat(40)}`, 'x x', 'has more than 60 characters'],
      ['sudo: true', 'sudo: yes', 'yes', 'must be true or false'],
      ['type: rsa-3072', 'type: dsa', 'dsa', 'must be one of ec-p256, ec-p384, rsa-2048, rsa-3072, rsa-4096'],
    ] as const
  ).map(([found, written, at, told]) => ({
    what: `"${written.slice(0, 30)}"`,
    change: [found, written] as const,
    code: 'CONFIG_BAD_VALUE',
    at,
    told: new RegExp(`" ${told.replaceAll('.', '\\.')}\n`),
  })),
  ...['null', '[30d]', 'false', '{ days: 30 }'].map((value) => ({
    what: `the duration ${value}`,
    change: ['confirm-within: 90s', `confirm-within: ${value}`] as const,
    code: 'CONFIG_BAD_DURATION',
    at: value.startsWith('{') ? 'confirm-within' : value,
    told: /is no duration from 5s to 1h.*such as 30d/s,
  })),
]

for (const { what, change, code, at, told } of defects) {
  test(`${what}: ${code}, with its place and its line`, () => {
    const text = spoilt(...change)
    const problem = problemsOf(text).find((each) => each.code === code)
    assert.ok(problem, problemsOf(text).map(printed).join('\n') || 'it was accepted')
    assert.equal(problem.failure.at, placeOf(text, at))
    assert.match([problem.message, problem.failure.fact, problem.failure.next].join('\n'), told)
    assert.equal(problem.failure.state, 'nothing was done')
    assert.deepEqual([problem.exit, problem.retryable], [code.startsWith('NAME_') ? 65 : 78, false])
    assert.doesNotMatch(printed(problem), stackLine)
    assertShows(problem.failure.excerpt, text, problem.failure.at ?? '')
  })
}

/** The line itself, with a caret under the column. */
function assertShows(excerpt: string | undefined, text: string, at: string): void {
  const [line = 0, column = 0] = at.split(':').slice(-2).map(Number)
  const written = (text.split('\n')[line - 1] ?? '').replaceAll('\t', ' ')
  const [shown = '', caret] = (excerpt ?? '').split('\n')
  assert.equal(shown.replace(/…$/, ''), written.slice(0, 100))
  if (column <= 100) assert.equal(caret, `${' '.repeat(column - 1)}^`)
}

test('lines and columns are right behind a byte order mark, and with line ends of Windows', () => {
  const text = spoilt('service: apache', 'service: apatche')
  const expected = placeOf(text, 'apatche')
  for (const variant of [`\ufeff${text}`, text.replaceAll('\n', '\r\n')]) {
    const [problem] = problemsOf(variant)
    assert.equal(problem?.failure.at, expected)
    assertShows(problem?.failure.excerpt, text, expected)
  }
})

const unreadable: readonly (readonly [string, string | Uint8Array, string, RegExp])[] = [
  ['nothing', '', 'CONFIG_EMPTY', /fleet\.yaml is empty/],
  ['empty lines', '\n\n \n', 'CONFIG_EMPTY', /is empty/],
  ['comments', '# only\n# comments\n', 'CONFIG_EMPTY', /is empty/],
  ['a document marker', '---\n', 'CONFIG_EMPTY', /is empty/],
  ['null', '~\n', 'CONFIG_EMPTY', /is empty/],
  ['a text', 'hello\n', 'CONFIG_BAD_VALUE', /the fleet file must be a mapping/],
  ['a list', '- version: 1\n', 'CONFIG_BAD_VALUE', /the fleet file must be a mapping/],
  ['UTF-16', Buffer.from(`\ufeff${good}`, 'utf16le'), 'CONFIG_BINARY', /is no text/],
  ['Latin-1', Buffer.from('# Büro\nversion: 1\n', 'latin1'), 'CONFIG_BINARY', /is no text/],
  ['a NUL', `${good}# \u0000\n`, 'CONFIG_BINARY', /is no text/],
  ['an escape sequence', `${good}# \u001b[2J\n`, 'CONFIG_BINARY', /is no text/],
  ['a program', Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1, 0]), 'CONFIG_BINARY', /is no text/],
]

for (const [what, text, code, told] of unreadable) {
  test(`a file of ${what} is refused: ${code}`, () => {
    const [problem] = problemsOf(text)
    assert.equal(problem?.code, code)
    assert.match(printed(problem), told)
    assert.doesNotMatch(printed(problem), stackLine)
  })
}

test('a file is read up to 1 MiB, and refused at one byte more, before anything in it is looked at', () => {
  const limit = 1024 * 1024
  const filled = (bytes: number) => `${good}#`.padEnd(bytes, 'x')
  assert.deepEqual(problemsOf(filled(limit)), [])
  for (const bytes of [limit + 1, 10 * limit]) {
    const [problem] = problemsOf(filled(bytes))
    assert.equal(problem?.code, 'INPUT_TOO_LARGE')
    assert.equal(problem.failure.fact, `${bytes} bytes, limit ${limit}`)
  }
  assert.equal(problemsOf(`#${'é'.repeat(limit / 2)}`)[0]?.code, 'INPUT_TOO_LARGE')
  assert.equal(problemsOf(Buffer.alloc(limit + 1))[0]?.code, 'INPUT_TOO_LARGE')
})

test('aliases that multiply are refused without being multiplied', () => {
  const level = (at: number) =>
    `l${at}: &l${at} [${Array(9)
      .fill(at === 0 ? 'x' : `*l${at - 1}`)
      .join(', ')}]`
  const started = performance.now()
  const [problem] = problemsOf(Array.from({ length: 12 }, (_, at) => level(at)).join('\n'))
  assert.ok(performance.now() - started < 2_000)
  assert.equal(problem?.code, 'CONFIG_SYNTAX')
  assert.match(printed(problem), /aliases are used too often.*more than 10000 values/s)
})

test('all problems of a file are reported at once, in the order of their lines', () => {
  const text = spoilt('keep-for: 180d', 'keep-for: soon')
    .replace('address: 192.0.2.11', 'address: nowhere')
    .replace('service: apache', 'service: apatche')
    .replace('\nservers:', '\ntagrets: {}\nservers:')
    .replace('mode: "0640"', 'mode: 0640')
    .replace('canary: 2', 'canary: 0')
  const problems = problemsOf(text)
  assert.deepEqual(
    problems.map(({ code, failure }) => [code, failure.at]),
    [
      ['CONFIG_BAD_DURATION', placeOf(text, 'soon')],
      ['CONFIG_UNKNOWN_KEY', placeOf(text, 'tagrets')],
      ['CONFIG_BAD_VALUE', placeOf(text, 'nowhere')],
      ['CONFIG_BAD_VALUE', placeOf(text, 'apatche')],
      ['CONFIG_MODE_NOT_STRING', placeOf(text, '0640')],
      ['CONFIG_BAD_VALUE', placeOf(text, '0, wave')],
    ],
  )
  for (const { failure } of problems) assertShows(failure.excerpt, text, failure.at ?? '')
})

test('all unknown references and bad names of a file are reported at once', () => {
  const text = spoilt('issuer: lab', 'issuer: lib')
    .replace('names: [api.domain.example]', 'names: [a_b.example, "x.example:1"]')
    .replace('dns: [eu-1, us-1]', 'dns: [eu-2, us-2]')
  const found = problemsOf(text).map(({ code, failure }) => `${code} ${failure.at}`)
  for (const [code, piece] of [
    ['CONFIG_UNKNOWN_REFERENCE', 'lib'],
    ['NAME_INVALID', 'a_b'],
    ['NAME_HAS_PORT', '"x.example:1"'],
    ['CONFIG_UNKNOWN_REFERENCE', 'eu-2'],
    ['CONFIG_UNKNOWN_REFERENCE', 'us-2'],
  ] as const) {
    assert.ok(found.includes(`${code} ${placeOf(text, piece)}`), `${code} ${piece} in ${found.join('\n')}`)
  }
})

test('every duplicate and every wildcard without quotes is reported at once', () => {
  const text = spoilt('names: [api.domain.example]', 'names: [*.a.example, *.b.example]').replace(
    '    location: frankfurt',
    '    service: nginx',
  )
  assert.deepEqual(
    problemsOf(text).map(({ code }) => code),
    ['CONFIG_QUOTE_WILDCARD', 'CONFIG_QUOTE_WILDCARD', 'CONFIG_DUPLICATE_KEY'],
  )
})

const secrets: readonly (readonly [string, string])[] = [
  ['a passphrase', '    passphrase: hunter2canary'],
  ['a password', '    password: hunter2canary'],
  ['a secret', '    client-secret: hunter2canary'],
  ['a key that was pasted', '    pem: "-----BEGIN PRIVATE KEY----- hunter2canary"'],
]

for (const [what, line] of secrets) {
  test(`a line that holds ${what} is pointed at, not shown`, () => {
    const text = spoilt('    location: frankfurt', line)
    const [problem] = problemsOf(text)
    assert.equal(problem?.code, 'CONFIG_UNKNOWN_KEY')
    assert.equal(problem.failure.at, placeOf(text, line.trim()))
    assert.doesNotMatch(printed(problem), /canary/)
  })
}

const alone: readonly (readonly [string, readonly [string, string], string])[] = [
  [
    'acme without a challenge',
    ['import: { pkcs12: www.p12 }', 'acme: https://acme.example'],
    '"issuers.boxed" has "acme" without a challenge',
  ],
  ['agent', ['    local: true', '    agent: true'], '"servers.edge.agent" is not known to this version'],
  ['a newer version with other sections', ['version: 1\nissuers:', 'version: 2\norigins:'], 'version 2 is for a newer'],
  ['a misspelt way to a server', ['    local: true', '    lokal: true'], 'unknown key "lokal"'],
  [
    'a list in place of a text',
    ['location: frankfurt', `location: [${'a, '.repeat(70)}]`],
    '"servers.eu-1.location" must be',
  ],
]

for (const [what, change, told] of alone) {
  test(`${what} is one problem`, () => {
    const problems = problemsOf(spoilt(...change))
    assert.equal(problems.length, 1, problems.map(printed).join('\n'))
    assert.ok(problems[0]?.message.startsWith(told), problems[0]?.message)
  })
}

const pair = spoilt(
  'sites:\n  www.domain.example: { certificate: www, dns: [eu-1, us-1] }',
  'sites:\n  www.domain.example: { certificate: [www, twin], dns: [eu-1] }',
)
const twin = (key: string) =>
  pair.replace('  api:\n', `  twin: { names: [www.domain.example], issuer: bought, key: { type: ${key} } }\n  api:\n`)

test('two certificates on one site differ in the kind of their key', () => {
  assert.deepEqual(problemsOf(twin('ec-p256')).map(printed), [])
  const [problem, ...others] = problemsOf(twin('rsa-2048'))
  assert.deepEqual(others, [])
  assert.ok(problem)
  assert.match(printed(problem), /both certificates of "www\.domain\.example" have an RSA key/)
})

test('two certificates on one site are looked at from here', () => {
  const [problem] = problemsOf(twin('ec-p256').replace('dns: [eu-1] }', 'dns: [eu-1, us-1] }'))
  assert.ok(problem)
  assert.match(printed(problem), /two certificates on "www\.domain\.example", and us-1 is looked at through the server/)
})

/** The good file, whose `www` comes from a CA that speaks ACME, by these ways. */
const atCa = (ways: string, issuer = 'lab') =>
  spoilt('lab: { local-ca: { lifetime: 90d } }', `lab: { acme: "https://ca.example/dir", ${ways} }`).replace(
    'issuer: lab\n',
    `issuer: ${issuer}\n`,
  )
const webroot = 'http-01: { webroot: /var/www }'
const alpn = 'tls-alpn-01: { listen: "192.0.2.1:443" }'
const dns = 'dns-01: { exec: [/bin/dns] }'
const extra = (text: string) =>
  text.replace('names: [www.domain.example,', 'names: [www.domain.example, Extra.example,')

for (const ways of [webroot, alpn, `${webroot}, ${alpn}`]) {
  test(`a wildcard that is to be proved without DNS, by ${ways}`, () => {
    const text = atCa(ways)
    const [problem, ...others] = problemsOf(text)
    assert.deepEqual(others.map(printed), [])
    assert.deepEqual(
      [problem?.code, problem?.failure.at],
      ['ACME_NO_CHALLENGE', placeOf(text, '"*.app.domain.example"')],
    )
    assertShows(problem?.failure.excerpt, text, problem?.failure.at ?? '')
    assert.match(problem?.message ?? '', /no way to prove \*\.app\.domain\.example to the issuer "lab"/)
    assert.equal(problem?.failure.next, 'add "dns-01" to issuers.lab')
    assert.equal(problem?.exit, 78)
  })
}

test('a name without a site that is to be proved by http-01 alone, also by the second issuer', () => {
  for (const issuer of ['lab', '[bought, lab]']) {
    const text = extra(atCa(webroot, issuer))
      .replace(', "*.app.domain.example"]', ']')
      .replace(/ {2}"\*\.app.*?(?= {2}API)/s, '')
    const [problem, ...others] = problemsOf(text)
    assert.deepEqual(others.map(printed), [])
    assert.deepEqual([problem?.code, problem?.failure.at], ['CHALLENGE_NO_SERVER', placeOf(text, 'Extra.example')])
    assertShows(problem?.failure.excerpt, text, problem?.failure.at ?? '')
    assert.match(problem?.failure.fact ?? '', /the issuer "lab" has http-01 alone, and no site has this name/)
  }
})

test('what DNS proves needs no site, and what tls-alpn-01 may prove is left to the CA', () => {
  assert.deepEqual(problemsOf(extra(atCa(dns))).map(printed), [])
  assert.deepEqual(problemsOf(extra(atCa(`${webroot}, ${dns}`))).map(printed), [])
  const noWildcard = atCa(`${webroot}, ${alpn}`).replace(', "*.app.domain.example"]', ']')
  assert.deepEqual(problemsOf(extra(noWildcard.replace(/ {2}"\*\.app.*?(?= {2}API)/s, ''))).map(printed), [])
})

test('a site whose name is none is told, and not what follows from it', () => {
  const text = extra(atCa(webroot))
    .replace(', "*.app.domain.example"]', ']')
    .replace('"*.app.domain.example":', 'a_b.example:')
  assert.deepEqual(
    problemsOf(text).map(({ code }) => code),
    ['NAME_INVALID'],
  )
})

test('keys that are only reserved are not offered', () => {
  for (const [found, written] of [
    ['import: { pkcs12: www.p12 }', 'quux: 1'],
    ['    local: true', '    local: true\n    quux: 1'],
  ] as const) {
    const [problem] = problemsOf(spoilt(found, written))
    assert.match(problem?.failure.fact ?? '', /^known here: .*(local-ca|local,)/)
    assert.doesNotMatch(problem?.failure.fact ?? '', /agent/)
  }
})

test('no problem of one value hides what the entries say of each other', () => {
  const text = spoilt('keep-for: 180d', 'keep-for: soon')
    .replace('issuer: lab', 'issuer: lib')
    .replace('names: [api.domain.example]', 'names: [a_b.example]')
    .replace('address: 192.0.2.11', 'address: nowhere')
    .replace('    location: frankfurt', '    known-hosts: known_hosts')
    .replace('mode: "0640"', 'mode: 0640')
    .replace('chain: /etc/ssl/www.crt, ', '')
    .replace('location: frankfurt', 'service: nginx')
    .replace('dns: [eu-1, us-1]', 'dnz: 1, dns: [eu-2, us-1]')
    .replace('  shop.domain.example:\n', '  shops.domain.example:\n')
  assert.deepEqual(
    problemsOf(text).map(({ code, failure }) => [code, failure.at]),
    [
      ['CONFIG_UNKNOWN_REFERENCE', placeOf(text, 'lib')],
      ['CONFIG_BAD_DURATION', placeOf(text, 'soon')],
      ['NAME_INVALID', placeOf(text, 'a_b')],
      ['CONFIG_BAD_VALUE', placeOf(text, 'eu-1:')],
      ['CONFIG_BAD_VALUE', placeOf(text, 'nowhere')],
      ['CONFIG_BAD_VALUE', placeOf(text, 'www: { key')],
      ['CONFIG_MODE_NOT_STRING', placeOf(text, '0640')],
      ['CONFIG_UNKNOWN_KEY', placeOf(text, 'dnz')],
      ['CONFIG_UNKNOWN_REFERENCE', placeOf(text, 'eu-2')],
      ['CONFIG_BAD_VALUE', placeOf(text, 'shops')],
    ],
  )
})

test('a key twice and a tag do not hide the others', () => {
  const text = spoilt('    location: frankfurt', '    service: !x apache').replace('canary: 2', 'canary: x')
  assert.deepEqual(
    problemsOf(text).map(({ code }) => code),
    ['CONFIG_TAG_FORBIDDEN', 'CONFIG_DUPLICATE_KEY', 'CONFIG_BAD_VALUE'],
  )
})

test('servers that are looked at through themselves may have the same address', () => {
  const probe = (text: string) =>
    text.replace('address: 203.0.113.10\n', 'address: 192.0.2.11\n    probe: through-server\n')
  assert.deepEqual(problemsOf(probe(good)), [])
})

test('what the file holds cannot drive a terminal through a message', () => {
  const text = spoilt('service: apache', 'service: "a\u202eb\u009b31m\u200bc"').replace(
    'tls/\n',
    'tls/\n    "k\u202ee\u009b2Jy": 1\n',
  )
  const names = spoilt('names: [www.domain.example,', 'names: ["a\u202e\u009b.example",').replace(
    'www: { chain',
    '"\u202e\u009b": { chain',
  )
  const problems = [...problemsOf(text), ...problemsOf(names)]
  assert.ok(problems.length >= 4)
  for (const problem of problems) assert.doesNotMatch(printed(problem), /[\p{Cf}\u0080-\u009f\u001b]/u)
  assert.match(problems.map(printed).join(), /a\\u\{202e\}b\\x9b31m/)
})

test('a long line is cut', () => {
  const text = spoilt('location: frankfurt', `location: ${'x'.repeat(5_000)}`)
  const [problem] = problemsOf(text)
  assert.ok((problem?.failure.excerpt ?? '').length < 250)
  assert.equal(problem?.failure.at, placeOf(text, 'xxx'))
})

test('messages name the file as it was typed', () => {
  for (const problem of problemsOf(spoilt('canary: 2', 'canary: x'))) {
    assert.ok(problem.failure.at?.startsWith(`${name.file}:`))
  }
})
