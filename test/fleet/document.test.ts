import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parse as parseYaml } from 'yaml'
import { zoneNameOf, zoneOfSite } from '../../src/fleet/zone.ts'
import { good, parse, problemsOf, spoilt } from './good.ts'

const dayMs = 86_400_000

test('a good file is read with its references resolved, its paths absolute and its defaults filled in', () => {
  const fleet = parse(good)
  assert.deepEqual(fleet.issuers.get('lab'), {
    kind: 'local-ca',
    name: 'lab',
    commonName: 'onecert local CA',
    lifetimeMs: 90 * dayMs,
  })
  assert.deepEqual(fleet.issuers.get('bought'), {
    kind: 'import-pem',
    name: 'bought',
    certificate: '/etc/fleet/www.pem',
    key: '/etc/ssl/www.key',
    chain: '/etc/fleet/chain.pem',
    passphraseFile: '/etc/fleet/pass',
  })
  assert.deepEqual(fleet.issuers.get('boxed'), { kind: 'import-pkcs12', name: 'boxed', pkcs12: '/etc/fleet/www.p12' })
  const watched = parse(spoilt('import: { pkcs12: www.p12 }', 'watch: live/www'))
  assert.deepEqual(watched.issuers.get('boxed'), { kind: 'watch', name: 'boxed', directory: '/etc/fleet/live/www' })
  assert.deepEqual(fleet.certificates.get('www'), {
    name: 'www',
    names: ['www.domain.example', 'shop.domain.example', '*.app.domain.example'],
    issuers: ['lab'],
    key: { type: 'rsa-3072', keepForMs: 180 * dayMs },
    licence: { servers: 10 },
  })
  assert.deepEqual(fleet.certificates.get('api'), {
    name: 'api',
    names: ['api.domain.example'],
    issuers: ['bought'],
    key: { type: 'ec-p256', keepForMs: 365 * dayMs },
  })
  assert.deepEqual(fleet.rollout, { canary: 2, wave: { share: 0.4 }, confirmWithinMs: 90_000 })
})

test('a program beside the fleet file is found there, one without a path in the PATH; its words stay', () => {
  for (const [written, argv] of [
    ['[./dns/lexicon, ./word]', ['/etc/fleet/dns/lexicon', './word']],
    ['dns/lexicon ./word', ['/etc/fleet/dns/lexicon', './word']],
    ['[/usr/local/bin/lexicon]', ['/usr/local/bin/lexicon']],
    ['[lexicon, word]', ['lexicon', 'word']],
  ] as const) {
    const acme = `acme: https://acme.example\n    dns-01: { exec: ${written} }`
    const issuer = parse(spoilt('import: { pkcs12: www.p12 }', acme)).issuers.get('boxed')
    assert.ok(issuer?.kind === 'acme')
    assert.deepEqual(issuer.dns01?.provider, { kind: 'exec', argv })
  }
})

test('how records are looked at that stand in the DNS', () => {
  const issuerOf = (written: string) =>
    parse(
      spoilt('import: { pkcs12: www.p12 }', `acme: https://acme.example\n    dns-persist-01: ${written}`),
    ).issuers.get('boxed')
  const acme = { kind: 'acme', name: 'boxed', directory: 'https://acme.example', email: [] }
  assert.deepEqual(issuerOf('{}'), { ...acme, dnsPersist01: { resolvers: [], port: 53 } })
  assert.deepEqual(issuerOf('{ resolvers: [192.0.2.53, "[2001:db8::53]:5353"], port: 5300 }'), {
    ...acme,
    dnsPersist01: { resolvers: ['192.0.2.53:53', '[2001:db8::53]:5353'], port: 5300 },
  })
})

test('each way to a server is read', () => {
  const { servers } = parse(good)
  const key = `SHA256:${'AbCdEfGhIj'.repeat(4)}`
  assert.deepEqual(servers.get('eu-1')?.reach, {
    kind: 'ssh',
    destination: 'deploy@eu-1.domain.example',
    hostKeys: [`${key}123`],
    sudo: true,
  })
  assert.deepEqual(servers.get('us-1')?.reach, {
    kind: 'ssh',
    destination: 'us-1',
    port: 2222,
    identity: '/etc/fleet/keys/deploy',
    knownHosts: '/etc/fleet/known_hosts',
    hostKeys: [],
    sudo: true,
  })
  assert.deepEqual(servers.get('edge')?.reach, { kind: 'local' })
  assert.deepEqual(servers.get('other')?.reach, {
    kind: 'ssh',
    destination: 'root@other',
    hostKeys: [`${key}123`, `${key}456`],
    sudo: false,
  })
})

test('each service is read, with its commands as lists of words', () => {
  const { servers } = parse(good)
  assert.deepEqual(servers.get('eu-1')?.service, { kind: 'nginx' })
  assert.deepEqual(servers.get('edge')?.service, {
    kind: 'haproxy',
    reload: ['systemctl', 'reload', 'haproxy'],
    test: ['haproxy', '-c', '-f', '/etc/haproxy/haproxy.cfg'],
  })
  assert.deepEqual(servers.get('other')?.service, {
    kind: 'command',
    reload: ['/bin/reload', 'a b'],
    start: ['/bin/start'],
    layout: 'combined',
  })
})

test('address, listeners, directory, files and probe of a server are read', () => {
  const { servers } = parse(good)
  const facts = [...servers.values()].map(({ name, address, listeners, directory, probe, location }) => {
    return [name, address, ...listeners.map(({ port }) => port), directory, probe, location]
  })
  assert.deepEqual(facts, [
    ['eu-1', '192.0.2.11', 443, '/etc/onecert', 'direct', 'frankfurt'],
    ['us-1', '2001:db8::7', 8443, '/etc/onecert', 'through-server', undefined],
    ['edge', '203.0.113.9', 443, '/srv/tls', 'direct', undefined],
    ['other', '203.0.113.10', 443, '/etc/onecert', 'direct', undefined],
  ])
  assert.deepEqual(
    [...(servers.get('us-1')?.files ?? [])],
    [['www', { chain: '/etc/ssl/www.crt', key: '/etc/ssl/www.key', mode: '0640', owner: 'root:ssl-cert' }]],
  )
  assert.deepEqual([...(servers.get('edge')?.files ?? [])], [['www', { combined: '/etc/haproxy/www.pem' }]])
})

test('each topology is read, and sites go by their host name in lower case', () => {
  const { sites } = parse(good)
  assert.deepEqual(
    [...sites.values()],
    [
      { name: 'www.domain.example', certificates: ['www'], topology: { kind: 'dns', servers: ['eu-1', 'us-1'] } },
      {
        name: 'shop.domain.example',
        certificates: ['www'],
        topology: { kind: 'load-balancer', address: '203.0.113.5', port: 443, servers: ['us-1', 'other'] },
      },
      {
        name: '*.app.domain.example',
        certificates: ['www'],
        topology: {
          kind: 'reverse-proxy',
          servers: ['edge'],
          standby: [],
          upstreams: [{ url: 'http://10.0.1.5:8080' }],
        },
      },
      { name: 'api.domain.example', certificates: ['api'], topology: { kind: 'dns', servers: ['us-1'] } },
    ],
  )
  assert.deepEqual(
    [...sites.keys()],
    [...sites.values()].map(({ name }) => name),
  )
})

test('names of other scripts are kept as A-labels', () => {
  const { certificates } = parse(spoilt('[api.domain.example]', '[api.domain.example, bücher.example]'))
  assert.deepEqual(certificates.get('api')?.names, ['api.domain.example', 'xn--bcher-kva.example'])
})

const waves: readonly (readonly [string, unknown])[] = [
  ['1', { servers: 1 }],
  ['50', { servers: 50 }],
  ['1%', { share: 0.01 }],
  ['100%', { share: 1 }],
]

for (const [written, wave] of waves) {
  test(`a wave of ${written} is read`, () => {
    assert.deepEqual(parse(spoilt('wave: 40%', `wave: ${written}`)).rollout.wave, wave)
  })
}

test('what may be absent may be absent', () => {
  const { rollout } = parse(good.replace(/^rollout: .*\n/m, ''))
  assert.deepEqual(rollout, { canary: 1, wave: { share: 0.25 }, confirmWithinMs: 120_000 })
  assert.deepEqual(problemsOf('version: 1\nissuers: {}\ncertificates: {}\nservers: {}\nsites: {}\n'), [])
})

const spellings: readonly (readonly [string, string | Uint8Array])[] = [
  ['a byte order mark', Buffer.from(`\ufeff${good}`)],
  ['a byte order mark in a text', `\ufeff${good}`],
  ['line ends of Windows', good.replaceAll('\n', '\r\n')],
  ['no line end at its end', good.trimEnd()],
  ['comments and a document marker', `# fleet\n%YAML 1.2\n---\n${good}# end\n...\n`],
  ['JSON in place of YAML', JSON.stringify(parseYaml(good))],
]

for (const [what, text] of spellings) {
  test(`a file with ${what} means the same`, () => {
    assert.deepEqual(parse(text), parse(good))
  })
}

test('what comes before TLS at a port is read, in the short form and in the list', () => {
  const listeners = (line: string) => parse(spoilt('    port: 8443', `    ${line}`)).servers.get('us-1')?.listeners
  assert.deepEqual(listeners('starttls: smtp'), [{ port: 443, starttls: 'smtp' }])
  assert.deepEqual(listeners('proxy-protocol: v2'), [{ port: 443, proxyProtocol: 'v2' }])
  assert.deepEqual(listeners('listeners: [{ port: 25, starttls: smtp }, { port: 465, proxy-protocol: v1 }]'), [
    { port: 25, starttls: 'smtp' },
    { port: 465, proxyProtocol: 'v1' },
  ])
})

test('an anchor and its alias may be used', () => {
  const text = spoilt('destination: us-1, port: 2222', 'destination: us-1, port: &port 2222')
  assert.equal(parse(text.replace('port: 8443', 'port: *port')).servers.get('us-1')?.listeners[0]?.port, 2222)
})

test('the answer holds nothing of the prototypes of the file', () => {
  const text = spoilt('rollout: {', '__proto__: { isAdmin: true }\nrollout: {')
  assert.deepEqual(
    problemsOf(text).map(({ code }) => code),
    ['CONFIG_UNKNOWN_KEY'],
  )
  assert.equal(({} as { isAdmin?: boolean }).isAdmin, undefined)
})

test('a site is published in the nearest zone around its name; without one by hand', () => {
  const key = 'rfc2136: { server: 192.0.2.53, key-file: tsig.key }'
  const zones = `zones:\n  domain.example: { ${key} }\n  SHOP.domain.example: { ${key}, ttl: 1500ms, port: 5353, resolvers: ["2001:db8::53"] }\n`
  const fleet = parse(`${good}${zones}`)
  const names = [...fleet.sites.keys()].map((site) => [site, zoneOfSite(fleet, site)?.name])
  assert.deepEqual(Object.fromEntries(names), {
    'www.domain.example': 'domain.example',
    'shop.domain.example': 'shop.domain.example',
    '*.app.domain.example': 'domain.example',
    'api.domain.example': 'domain.example',
  })
  assert.deepEqual(fleet.zones.get('shop.domain.example'), {
    name: 'shop.domain.example',
    update: { server: '192.0.2.53:53', keyFile: '/etc/fleet/tsig.key' },
    ttlS: 2,
    resolvers: ['[2001:db8::53]:53'],
    port: 5353,
    withinMs: 600_000,
  })
  assert.equal(zoneOfSite(parse(good), 'www.domain.example'), undefined)
  assert.equal(zoneNameOf('notdomain.example', ['domain.example']), undefined)
})
