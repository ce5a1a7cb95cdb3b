import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addEntries } from '../../src/fleet/edit/entries.ts'
import { addServer, removeServer, setHostKey } from '../../src/fleet/edit/server.ts'
import { entriesText } from '../../src/fleet/entries.ts'
import { fleetTemplate } from '../../src/fleet/template.ts'
import { refusalOf } from '../base/refusals.ts'
import { good, parse } from './good.ts'

const fingerprint = `SHA256:${'Z'.repeat(43)}`

const commentsOf = (text: string) => [...text.matchAll(/(?:^|\s)(#.*)$/gm)].map(([, comment]) => comment)
const keysOf = (text: string) => [...text.matchAll(/[\w.*-]+(?=":|:( |$))/gm)].map(([key]) => key)

function hostKeysOf(text: string, server: string): readonly string[] {
  const reach = parse(text).servers.get(server)?.reach
  return reach?.kind === 'ssh' ? reach.hostKeys : []
}

test('the host key of a server is set, and the file means the same but for it', () => {
  const edited = setHostKey(good, 'eu-1', fingerprint)
  assert.deepEqual(hostKeysOf(edited, 'eu-1'), [fingerprint])
  const [before, after] = [parse(good), parse(edited)]
  const old = before.servers.get('eu-1')
  assert.ok(old?.reach.kind === 'ssh')
  assert.deepEqual(after, {
    ...before,
    servers: new Map([...before.servers, ['eu-1', { ...old, reach: { ...old.reach, hostKeys: [fingerprint] } }]]),
  })
})

test('a server that had none gets one, and nothing else of the template changes its meaning', () => {
  const edited = setHostKey(fleetTemplate(), 'web-1', fingerprint)
  assert.deepEqual(hostKeysOf(edited, 'web-1'), [fingerprint])
  assert.deepEqual(parse(edited).sites, parse(fleetTemplate()).sites)
})

test('every comment of the template is kept, in its order', () => {
  const comments = commentsOf(fleetTemplate())
  assert.ok(comments.length > 15)
  assert.deepEqual(commentsOf(setHostKey(fleetTemplate(), 'web-1', fingerprint)), comments)
})

test('the keys stay in their order', () => {
  assert.deepEqual(keysOf(setHostKey(good, 'eu-1', fingerprint)), keysOf(good))
})

const kept = [
  ['a comment above', '# the first server, in Frankfurt'],
  ['a comment at the end of a line', '# rotated in May'],
  ['single quotes', "location: 'a b'"],
  ['double quotes', 'address: "192.0.2.1"'],
  ['a number as it was written', 'port: 0x1bb'],
  ['a block of commands', '      reload:\n        - /bin/reload\n        - a b\n'],
  ['an empty line', '\n\n  w:'],
] as const

for (const [what, piece] of kept) {
  test(`${what} stays as it was written`, () => {
    const text = `version: 1
servers:
  # the first server, in Frankfurt
  v:
    ssh: root@v # rotated in May
    host-key: "SHA256:old"
    location: 'a b'
    address: "192.0.2.1"
    port: 0x1bb
    service:
      reload:
        - /bin/reload
        - a b

  w: { ssh: root@w }
`
    const edited = setHostKey(text, 'v', fingerprint)
    assert.ok(text.includes(piece))
    assert.ok(edited.includes(piece), edited)
    assert.ok(edited.includes(`host-key: "${fingerprint}"`))
    assert.ok(!edited.includes('SHA256:old'))
  })
}

test('a long value is not folded', () => {
  const long = 'word '.repeat(60).trim()
  const text = `servers:\n  v: { ssh: a }\n# ${long}\nnote: ${long}\nquoted: "${long}"\n`
  const edited = setHostKey(text, 'v', fingerprint)
  assert.ok(edited.includes(`# ${long}\nnote: ${long}\nquoted: "${long}"\n`))
})

test('setting the same host key again changes nothing', () => {
  const once = setHostKey(good, 'eu-1', fingerprint)
  assert.equal(setHostKey(once, 'eu-1', fingerprint), once)
})

test('two host keys, from a rotation, make way for the one', () => {
  assert.deepEqual(hostKeysOf(setHostKey(good, 'other', fingerprint), 'other'), [fingerprint])
})

test('a server that is not there, or a file that is no YAML, is refused', async () => {
  for (const text of [good, 'servers: none\n', 'version: 1\n']) {
    const error = await refusalOf(() => setHostKey(text, 'nowhere', fingerprint))
    assert.deepEqual([error.code, error.exit], ['SERVER_UNKNOWN', 64])
    assert.match(error.message, /"nowhere"/)
  }
  const error = await refusalOf(() => setHostKey('servers: [', 'v', fingerprint))
  assert.equal(error.code, 'CONFIG_SYNTAX')
})

const edits: readonly (readonly [what: string, text: string, edited: string])[] = [
  [
    'a comment at the end of its line, and aligned comments elsewhere',
    'servers:\n  v:\n    ssh: a        # one\n    host-key: "old"   # rotated\n    port: 1       # two\n',
    'servers:\n  v:\n    ssh: a        # one\n    host-key: "KEY"   # rotated\n    port: 1       # two\n',
  ],
  ['a mapping without spaces', 'servers: {v: {ssh: a,port: 1}}\n', 'servers: {v: {ssh: a,host-key: "KEY", port: 1}}\n'],
  ['JSON', '{"servers":{"v":{"ssh":"a"}}}', '{"servers":{"v":{"host-key": "KEY", "ssh":"a"}}}'],
  [
    'line ends of Windows',
    'servers:\r\n  v:\r\n    ssh: a\r\n    port: 1\r\n',
    'servers:\r\n  v:\r\n    ssh: a\r\n    host-key: "KEY"\r\n    port: 1\r\n',
  ],
  [
    'a byte order mark',
    '\ufeffservers:\n  v:\n    ssh: a\n    host-key: old\n',
    '\ufeffservers:\n  v:\n    ssh: a\n    host-key: "KEY"\n',
  ],
  [
    'a value that is not there yet',
    'servers:\n  v:\n    host-key:\n    ssh: a\n',
    'servers:\n  v:\n    host-key: "KEY"\n    ssh: a\n',
  ],
  [
    'a list without brackets',
    'servers:\n  v:\n    host-key:\n      - a\n      - b\n    ssh: a\n',
    'servers:\n  v:\n    host-key: "KEY"\n    ssh: a\n',
  ],
  [
    'ssh as a mapping of lines',
    'servers:\n  v:\n    ssh:\n      destination: a\n    # note\n\n    port: 1 # x\n',
    'servers:\n  v:\n    ssh:\n      destination: a\n    # note\n\n    host-key: "KEY"\n    port: 1 # x\n',
  ],
  [
    'an alias in its place',
    'k: &k old\nservers:\n  v: { host-key: *k, ssh: a }\n',
    'k: &k old\nservers:\n  v: { host-key: "KEY", ssh: a }\n',
  ],
  ['an anchor that nothing uses', 'servers:\n  v: &v { ssh: a }\n', 'servers:\n  v: &v { host-key: "KEY", ssh: a }\n'],
]

for (const [what, text, edited] of edits) {
  test(`only the host key changes: ${what}`, () => {
    assert.equal(setHostKey(text, 'v', fingerprint), edited.replace('KEY', fingerprint))
  })
}

const byHand: readonly (readonly [what: string, text: string])[] = [
  ['given by an alias', 'servers:\n  w: &w { ssh: a }\n  v: *w\n'],
  ['used by an alias', 'servers:\n  v: &v { ssh: a }\n  w: *v\n'],
  ['with a host key that an alias uses', 'servers:\n  v: { host-key: &k old, ssh: a }\nx: *k\n'],
  ['without a value', 'servers:\n  v:\n  w: {}\n'],
  ['with comments between its host keys', 'servers:\n  v:\n    host-key:\n      - a # old\n      - b\n    ssh: a\n'],
]

for (const [what, text] of byHand) {
  test(`a server ${what} is refused, with the line to write by hand`, async () => {
    const { code, failure } = await refusalOf(() => setHostKey(text, 'v', fingerprint))
    assert.equal(code, 'CONFIG_BAD_VALUE')
    assert.equal(failure.state, 'nothing was changed')
    assert.equal(failure.next, `write it by hand, at v:  host-key: "${fingerprint}"`)
  })
}

test('a host key is not set beside another way to know the server', async () => {
  for (const [server, key] of [
    ['us-1', 'known-hosts'],
    ['edge', 'local'],
  ] as const) {
    const { code, failure } = await refusalOf(() => setHostKey(good, server, fingerprint))
    assert.deepEqual([code, failure.next], ['CONFIG_BAD_VALUE', `take "${key}" away first`])
  }
})

const additions = {
  issuers: [{ name: 'kept', value: { watch: '/etc/letsencrypt/live/kept' }, comments: ['by certbot'] }],
  certificates: [
    {
      name: 'true.example',
      value: { names: ['*.true.example'], issuer: 'kept', key: { type: 'rsa-2048', 'keep-for': '0d' } },
      comments: ['until May'],
    },
  ],
}
const issuerLine = 'kept: { watch: /etc/letsencrypt/live/kept }'
const certificateLine =
  'true.example: { names: ["*.true.example"], issuer: kept, key: { type: rsa-2048, keep-for: 0d } }'

test('entries are added behind the others, and the file means the same but for them', () => {
  const edited = addEntries(good, additions)
  const [before, after] = [parse(good), parse(edited)]
  assert.deepEqual([...after.issuers.keys()], [...before.issuers.keys(), 'kept'])
  assert.deepEqual([...after.certificates.keys()], [...before.certificates.keys(), 'true.example'])
  assert.deepEqual(after.certificates.get('true.example'), {
    name: 'true.example',
    names: ['*.true.example'],
    issuers: ['kept'],
    key: { type: 'rsa-2048', keepForMs: 0 },
  })
  for (const section of ['servers', 'sites', 'rollout'] as const) assert.deepEqual(after[section], before[section])
})

test('adding to the template keeps every line of it', () => {
  const lines = addEntries(fleetTemplate(), additions).split('\n')
  for (const line of fleetTemplate().split('\n')) assert.ok(lines.includes(line), line)
  assert.deepEqual(lines.slice(lines.indexOf('  # by certbot'), lines.indexOf('  # by certbot') + 2), [
    '  # by certbot',
    `  ${issuerLine}`,
  ])
})

test('the text of the entries alone is YAML that says the same', () => {
  assert.equal(
    entriesText(additions),
    `issuers:\n  # by certbot\n  ${issuerLine}\ncertificates:\n  # until May\n  ${certificateLine}\n`,
  )
})

const added: readonly (readonly [what: string, text: string, edited: string])[] = [
  [
    'with comments at the end of the last line and below it',
    'issuers:\n    a:\n      local-ca: {} # last\n    # b: {}\n\nservers: {}\n',
    'issuers:\n    a:\n      local-ca: {} # last\n    # by certbot\n    ISSUER\n    # b: {}\n\nservers: {}\n',
  ],
  ['with braces', 'issuers: {a: {}}\n', 'issuers: {a: {}, ISSUER }\n'],
  ['with braces and a comma at the end', 'issuers: { a: {}, }\n', 'issuers: { a: {}, ISSUER }\n'],
  ['that is empty', 'issuers: {} # none\n', 'issuers: { ISSUER } # none\n'],
  ['without a value', 'issuers: # none yet\nx: 1\n', 'issuers: # none yet\n  # by certbot\n  ISSUER\nx: 1\n'],
  ['that is not there', 'version: 1', 'version: 1\n\nissuers:\n  # by certbot\n  ISSUER\n'],
  ['without a line end', 'issuers:\n  a: {}', 'issuers:\n  a: {}\n  # by certbot\n  ISSUER\n'],
  [
    'with line ends of Windows',
    'issuers:\r\n  a: {}\r\nx: 1\r\n',
    'issuers:\r\n  a: {}\r\n  # by certbot\r\n  ISSUER\r\nx: 1\r\n',
  ],
  [
    'whose last value is a text of several lines',
    'issuers:\n  a: |\n    one\n    two\n\nx: 1\n',
    'issuers:\n  a: |\n    one\n    two\n  # by certbot\n  ISSUER\n\nx: 1\n',
  ],
]

for (const [what, text, edited] of added) {
  test(`only an entry is added to a section ${what}`, () => {
    assert.equal(addEntries(text, { ...additions, certificates: [] }), edited.replace('ISSUER', issuerLine))
  })
}

test('an entry of the same name is not replaced', async () => {
  for (const text of [
    'issuers: { kept: { local-ca: {} } }\n',
    'issuers:\n  kept:\ncertificates:\n  true.example: {}\n',
  ]) {
    const error = await refusalOf(() => addEntries(text, additions))
    assert.deepEqual([error.code, error.exit], ['IMPORT_EXISTS', 73])
    assert.match(error.failure.fact ?? '', /issuers\.kept/)
    assert.equal(error.failure.state, 'nothing was changed')
  }
})

test('a section that an alias gives, or that is a list, is refused', async () => {
  for (const text of ['x: &x { a: {} }\nissuers: *x\n', 'issuers:\n  - a\n', 'issuers: &x { a: {} }\ny: *x\n']) {
    const error = await refusalOf(() => addEntries(text, additions))
    assert.equal(error.code, 'CONFIG_BAD_VALUE', text)
    assert.equal(error.failure.state, 'nothing was changed')
  }
})

const us2 = {
  name: 'us-2',
  value: { ssh: 'root@us-2.domain.example', address: '192.0.2.12', port: 8443, service: 'nginx' },
  comments: [],
}

const styles = [
  ['lists in brackets', 'servers:\n  a: { ssh: root@a, address: 192.0.2.1, service: nginx } # first\n', '[a]'],
  [
    'a list with spaces and a comma at its end',
    'servers:\n  a: { local: true, address: 192.0.2.1, service: nginx }\n',
    '[ a, ]',
  ],
  [
    'a list of lines',
    'servers:\n  a:\n    local: true\n    address: 192.0.2.1\n    service: nginx\n',
    '\n      - a # the first one',
  ],
  ['servers in braces', 'servers: { a: { local: true, address: 192.0.2.1, service: nginx } }\n', '["a"]'],
] as const

const fleetText = (servers: string, list: string) =>
  `version: 1 # kept
issuers: { lab: { local-ca: {} } }
certificates:
  www: { names: [www.domain.example], issuer: lab }
# all of them
${servers}# where they are
sites:
  # one of two
  WWW.domain.example:
    certificate: www
    dns: ${list}
rollout: { canary: 1 } # end
`

for (const [what, servers, list] of styles) {
  test(`a server is added and taken out again, where the file has ${what}; every other byte stays`, () => {
    const text = fleetText(servers, list)
    const added = addServer(text, us2, ['www.domain.example'])
    const fleet = parse(added)
    assert.deepEqual(fleet.sites.get('www.domain.example')?.topology.servers, ['a', 'us-2'])
    const { reach, listeners, address } = fleet.servers.get('us-2') ?? {}
    assert.ok(reach?.kind === 'ssh')
    assert.deepEqual(
      [reach.destination, listeners?.[0]?.port, address],
      ['root@us-2.domain.example', 8443, '192.0.2.12'],
    )
    assert.deepEqual(commentsOf(added), commentsOf(text))
    for (const line of text.split('\n').filter((each) => !/dns:|servers: \{/.test(each)))
      assert.ok(added.includes(line), line)
    assert.deepEqual(parse(removeServer(added, 'us-2')), parse(text))
    assert.deepEqual(commentsOf(removeServer(added, 'us-2')), commentsOf(text))
    assert.equal(addServer(added, us2, ['www.domain.example']), added, 'done already')
    const first = removeServer(added, 'a')
    assert.deepEqual([...parse(first).servers.keys()], ['us-2'])
  })
}

test('a server that is there already is added to sites by its name alone; what differs is refused', () => {
  const text = fleetText(
    'servers:\n  a: { local: true, address: 192.0.2.1, service: nginx }\n  b: { local: true, address: 192.0.2.2, service: nginx }\n',
    '[a]',
  )
  const added = addServer(text, { name: 'b', value: {}, comments: [] }, ['www.domain.example'])
  assert.equal(added, text.replace('[a]', '[a, b]'))
  const other = { name: 'b', value: { address: '192.0.2.3' }, comments: [] }
  return refusalOf(async () => addServer(text, other, ['www.domain.example'])).then((error) => {
    assert.equal(error.code, 'SERVER_EXISTS')
    assert.match(error.failure.fact ?? '', /address: "192.0.2.2" there, "192.0.2.3" given/)
  })
})

test('the only server of a site is not taken out, and a site that is not there is not added to', async () => {
  const text = fleetText('servers:\n  a: { local: true, address: 192.0.2.1, service: nginx }\n', '[a]')
  assert.equal((await refusalOf(async () => removeServer(text, 'a'))).code, 'SERVER_LAST')
  const error = await refusalOf(async () => addServer(text, us2, ['wwx.domain.example']))
  assert.equal(error.code, 'USAGE')
})

test('a server is added to and taken out of each topology of the good file', () => {
  for (const site of ['www.domain.example', 'shop.domain.example', '*.app.domain.example']) {
    const added = addServer(good, us2, [site])
    assert.ok(parse(added).sites.get(site)?.topology.servers.includes('us-2'))
    assert.equal(removeServer(added, 'us-2'), good)
  }
})

const controlled = (members: string) =>
  `{ ssh: root@lb, host-key: "${fingerprint}", haproxy: { socket: /run/haproxy.sock, backend: be${members} } }`

for (const [what, before, after] of [
  [
    'the standby, in brackets',
    'reverse-proxy: { servers: [a, b, c], standby: [b, c] }',
    'reverse-proxy: { servers: [a, b], standby: [b] }',
  ],
  [
    'the only standby, on lines of its own',
    'reverse-proxy:\n      servers: [a, b, c]\n      standby:\n        - c # takes over',
    'reverse-proxy:\n      servers: [a, b]',
  ],
  [
    'a member',
    `load-balancer: { address: 192.0.2.9, servers: [a, c], control: ${controlled(', members: { a: s1, c: s3 }')} }`,
    `load-balancer: { address: 192.0.2.9, servers: [a], control: ${controlled(', members: { a: s1 }')} }`,
  ],
  [
    'the only one that has another name, at two balancers',
    `load-balancer: { address: 192.0.2.9, servers: [a, c], control: [${controlled('')}, ${controlled(', members: { c: s3 }')}] }`,
    `load-balancer: { address: 192.0.2.9, servers: [a], control: [${controlled('')}, ${controlled('')}] }`,
  ],
] as const) {
  test(`what else names a server goes with it: ${what}`, () => {
    const servers = (names: string[]) =>
      names.map((each, at) => `  ${each}: { local: true, address: 192.0.2.${at}, service: nginx }\n`).join('')
    const text = (names: string[], topology: string) =>
      fleetText(`servers:\n${servers(names)}`, '[a]').replace('dns: [a]', topology)
    const edited = removeServer(text(['a', 'b', 'c'], before), 'c')
    assert.equal(edited, text(['a', 'b'], after))
    parse(edited)
  })
}
const machines = `version: 1
issuers: { lab: { local-ca: {} } }
certificates:
  www: { names: [shop.domain.example, app.domain.example], issuer: lab }
servers:
  a: { local: true, address: 192.0.2.1, service: nginx }
  b: { local: true, address: 192.0.2.2, service: nginx }
  c: { local: true, address: 192.0.2.3, service: none }
sites:
  shop.domain.example:
    certificate: www
    load-balancer:
      address: 192.0.2.9
      servers: [a, b]
      control:
        - local: true
          haproxy: { socket: /run/one.sock, backend: shop, members: { a: web-a, b: web-b } } # the first one
        - local: true
          haproxy:
            socket: /run/two.sock
            backend: shop
            members:
              b: web-b
  app.domain.example:
    certificate: www
    reverse-proxy:
      servers: [a, b]
      standby:
        - b # takes over
      upstreams: ["http://10.0.1.5:8080", { url: "http://10.0.1.6:8080", server: c }]
rollout: { canary: 1 } # end
`

test('a server is taken out wherever a site names it: as a member of a balancer, as a standby, as an upstream', () => {
  const without = removeServer(machines, 'b')
  const fleet = parse(without)
  const { topology: shop } = fleet.sites.get('shop.domain.example') ?? {}
  assert.ok(shop?.kind === 'load-balancer')
  assert.deepEqual(
    shop.controls.map(({ members }) => [...members]),
    [[['a', 'web-a']], [['a', 'a']]],
  )
  const { topology: app } = fleet.sites.get('app.domain.example') ?? {}
  assert.ok(app?.kind === 'reverse-proxy')
  assert.deepEqual([app.servers, app.standby], [['a'], []])
  for (const kept of ['# the first one', '# end', 'socket: /run/two.sock']) assert.ok(without.includes(kept), kept)

  const upstreams = parse(removeServer(machines, 'c')).sites.get('app.domain.example')?.topology
  assert.ok(upstreams?.kind === 'reverse-proxy')
  assert.deepEqual(upstreams.upstreams, [{ url: 'http://10.0.1.5:8080' }, { url: 'http://10.0.1.6:8080' }])
})
