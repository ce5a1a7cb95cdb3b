import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Probed } from '../../src/audit/probed.ts'
import { type Authority, createAuthority, type Order } from '../authority.ts'
import { onecert } from '../onecert.ts'
import { startBind } from '../real/bind.ts'
import { startNginx } from '../real/nginx.ts'
import { startPostfix } from '../real/postfix.ts'

const name = 'www.lab.example'
const beforeEpochMs = Date.now()

let directory: string
let authority: Authority

before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'onecert-probe-'))
  authority = await createAuthority()
})
after(() => rm(directory, { recursive: true }))

/** Neither a fleet file nor a place for state: it needs none. */
const run = onecert('/nowhere/onecert.yaml', '/nowhere/state')

interface Probes {
  readonly probes: readonly {
    readonly input: string
    readonly verdict: string
    readonly endpoints: readonly (Omit<Probed, 'problems'> & {
      readonly problems: readonly { readonly code: string }[]
    })[]
    readonly problem: { readonly code: string } | null
  }[]
}

let files = 0

async function sell(
  order: Order,
  chain: (leafPem: string) => string = (leafPem) => leafPem + authority.intermediatePem,
) {
  const sold = await authority.sell(order)
  files += 1
  const [chainFile, keyFile] = [join(directory, `chain-${files}.pem`), join(directory, `key-${files}.pem`)]
  await writeFile(chainFile, chain(sold.leafPem))
  await writeFile(keyFile, sold.keyPem, { mode: 0o600 })
  return { ...sold, chain: chainFile, key: keyFile }
}

async function serve(order: Order, chain?: (leafPem: string) => string) {
  const sold = await sell(order, chain)
  const nginx = await startNginx({ sites: [{ names: [name], chain: sold.chain, key: sold.key }] })
  return { ...nginx, ...sold, at: `${nginx.address}:${nginx.port}` }
}

test('how long session tickets are good for is told where somebody asks, in either version of TLS', async () => {
  const { chain, key } = await sell({ names: [name] })
  for (const version of ['TLSv1.2', 'TLSv1.3']) {
    const serverLines = [`ssl_protocols ${version};`, 'ssl_session_timeout 17m;']
    await using nginx = await startNginx({ sites: [{ names: [name], chain, key }], serverLines })
    const at = `${nginx.address}:${nginx.port}`
    const { stdout } = await run('probe', at, '--name', name, '--tickets')
    assert.match(stdout, /tickets +good for 1020 s$/m, version)
    const asked = async (...words: string[]) =>
      (await run.json<Probes>('probe', at, '--name', name, ...words)).probes[0]?.endpoints[0]
    assert.equal((await asked('--tickets'))?.ticketLifetimeSeconds, 1020)
    assert.ok(!('ticketLifetimeSeconds' in ((await asked()) ?? {})))
  }
  const serverLines = ['ssl_protocols TLSv1.2;', 'ssl_session_tickets off;']
  await using none = await startNginx({ sites: [{ names: [name], chain, key }], serverLines })
  assert.match(
    (await run('probe', `${none.address}:${none.port}`, '--name', name, '--tickets')).stdout,
    /tickets +it gives none$/m,
  )
})

test('what an address serves is told, with all that tells it from another', async () => {
  await using nginx = await serve({ names: [name, 'shop.lab.example'], toDay: 30 })
  const { exit, stdout, stderr } = await run('probe', nginx.at, '--name', name)
  assert.equal(exit, 0, stderr)
  assert.equal(stderr, '')
  for (const told of [
    new RegExp(`^ok +${nginx.at} \\(${name}\\)$`, 'm'),
    /names +www\.lab\.example, shop\.lab\.example$/m,
    new RegExp(`sha256 +${nginx.fingerprint}$`, 'm'),
    /valid .*, 29 days left$/m,
    /chain +CN=www\.lab\.example \([0-9a-f]{8}\) ← CN=Test Intermediate \([0-9a-f]{8}\)$/m,
    /builds from the served bytes alone, but to no public root/,
    /tls +TLS 1\.2 · TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 · P-256 · http\/1\.1$/m,
    /beside +no OCSP response, no SCT$/m,
    /proof +it signed this handshake/,
  ])
    assert.match(stdout, told)

  const { probes } = await run.json<Probes>('probe', nginx.at, '--name', name)
  const [{ endpoints: [endpoint] = [] } = {}] = probes
  assert.equal(endpoint?.leaf?.fingerprint, nginx.fingerprint)
  assert.equal(endpoint.chain?.fingerprints.length, 2)
  assert.deepEqual([endpoint.verdict, endpoint.proof, endpoint.chain.complete], ['ok', true, true])
  assert.ok(endpoint.leaf.notAfterMs > beforeEpochMs)
  assert.deepEqual(endpoint.session, {
    version: 'TLSv1.2',
    cipher: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
    group: 'P-256',
    alpn: 'http/1.1',
    ocspStaple: false,
    scts: 0,
    way: 'own',
    wayReason: null,
  })
})

describe('what is wrong is told first, and ends with 1', () => {
  const wrong: readonly (readonly [
    what: string,
    order: Order,
    chain: ((leafPem: string) => string) | undefined,
    code: string,
  ])[] = [
    ['an expired leaf', { names: [name], fromDay: -60, toDay: -1 }, undefined, 'CERT_EXPIRED'],
    ['a leaf of tomorrow', { names: [name], fromDay: 2 }, undefined, 'CERT_NOT_YET_VALID'],
    ['another name', { names: ['shop.lab.example'] }, undefined, 'CERT_NAME_MISSING'],
    ['no intermediate', { names: [name] }, (leafPem) => leafPem, 'CHAIN_INCOMPLETE'],
  ]
  for (const [what, order, chain, code] of wrong) {
    test(what, async () => {
      await using nginx = await serve(order, chain)
      const { exit, stdout } = await run('probe', nginx.at, '--name', name)
      assert.equal(exit, 1)
      assert.match(stdout, new RegExp(`^wrong .*\\n  ${code}: `))
      assert.match(stdout, new RegExp(`sha256 +${nginx.fingerprint}`))
    })
  }

  test('a key of 1024 bits', async () => {
    const { chain, key } = await sell({ names: [name], rsaBits: 1024 })
    const serverLines = ['ssl_ciphers DEFAULT:@SECLEVEL=0;']
    await using nginx = await startNginx({ sites: [{ names: [name], chain, key }], serverLines })
    const { exit, stdout } = await run('probe', `${nginx.address}:${nginx.port}`, '--name', name)
    assert.equal(exit, 1)
    assert.match(stdout, /^wrong .*\n {2}KEY_TOO_WEAK: .*\n.*RSA 1024 bits, minimum 2048/)
  })

  test("another CA's intermediate", async () => {
    const stranger = await createAuthority('Stranger')
    await using nginx = await serve({ names: [name] }, (leafPem) => leafPem + stranger.intermediatePem)
    const { probes } = await run.json<Probes>('probe', nginx.at, '--name', name)
    assert.deepEqual(
      probes[0]?.endpoints[0]?.problems.map(({ code }) => code),
      ['CHAIN_BROKEN'],
    )
  })
})

test('what cannot be seen is no verdict about it: 2, and 1 where another one is wrong', async () => {
  await using nginx = await serve({ names: ['shop.lab.example'] })
  const alone = await run('probe', `${nginx.address}:1`, '--name', name)
  assert.equal(alone.exit, 2)
  assert.match(alone.stdout, /^unseen .*\n {2}PROBE_REFUSED: /)
  const beside = await run('probe', `${nginx.address}:1`, nginx.at, '--name', name)
  assert.equal(beside.exit, 1)
})

test('of a host name each address is looked at by itself, A and AAAA', async () => {
  await using nginx = await serve({ names: [name] })
  await using bind = await startBind({
    zones: [
      { name: 'lab.example', records: [`www A ${nginx.address}`, 'www AAAA ::1', 'alias CNAME www', 'none TXT x'] },
    ],
    recursion: true,
  })
  const probe = (host: string, ...words: string[]) =>
    run.json<Probes>('probe', `${host}:${nginx.port}`, '--resolver', bind.server, ...words)
  const { probes } = await probe(name)
  assert.deepEqual(
    probes[0]?.endpoints.map((each) => [each.address, each.name, each.verdict]).sort(),
    [
      [nginx.address, name, 'ok'],
      ['::1', name, 'unseen'],
    ].sort(),
  )
  const alias = await probe('alias.lab.example', '--name', name)
  assert.equal(alias.probes[0]?.endpoints.length, 2)
  for (const host of ['none.lab.example', 'gone.lab.example']) {
    const [nothing] = (await probe(host)).probes
    assert.deepEqual([nothing?.verdict, nothing?.problem?.code], ['unseen', 'PROBE_NO_ADDRESS'])
  }
})

test('STARTTLS: Postfix is looked at inside of SMTP', async () => {
  const sold = await sell({ names: ['mx.lab.example'] })
  const keyFirst = join(directory, 'key-first.pem')
  await writeFile(keyFirst, sold.keyPem + sold.leafPem + authority.intermediatePem, { mode: 0o600 })
  await using postfix = await startPostfix({ name: 'mx.lab.example', keyFirst })
  const at = `${postfix.address}:${postfix.port}`
  const { exit, stdout } = await run('probe', at, '--name', 'mx.lab.example', '--starttls', 'smtp')
  assert.equal(exit, 0, stdout)
  assert.match(stdout, new RegExp(sold.fingerprint))
  const plain = await run('probe', at, '--name', 'mx.lab.example')
  assert.equal(plain.exit, 2)
})

test('the PROXY protocol: nginx that expects the header answers only behind it', async () => {
  const sold = await sell({ names: [name] })
  await using nginx = await startNginx({ sites: [{ names: [name], ...sold }], proxyProtocol: true })
  const at = `${nginx.address}:${nginx.port}`
  for (const version of ['v1', 'v2'])
    assert.equal((await run('probe', at, '--name', name, '--proxy-protocol', version)).exit, 0)
  assert.equal((await run('probe', at, '--name', name)).exit, 2)
})

test('a default site for another name: right for the name, and wrong for clients that name no host', async () => {
  const [other, own] = [await sell({ names: ['other.lab.example'] }), await sell({ names: [name] })]
  await using nginx = await startNginx({
    sites: [
      { names: ['other.lab.example'], ...other },
      { names: [name], ...own },
    ],
  })
  const at = `${nginx.address}:${nginx.port}`
  assert.equal((await run('probe', at, '--name', name)).exit, 0)
  const { exit, stdout } = await run('probe', at, '--name', name, '--without-sni')
  assert.equal(exit, 1)
  assert.match(stdout, /^wrong +[0-9.]+:\d+ \(www\.lab\.example\), without SNI\n +CERT_NAME_MISSING: /)
  assert.match(stdout, new RegExp(`sha256 +${other.fingerprint}`))
})

test('a server with certificates of both kinds shows the one that is asked for', async () => {
  const [ecdsa, rsa] = [await sell({ names: [name] }), await sell({ names: [name], rsaBits: 2048 })]
  await using nginx = await startNginx({
    sites: [{ names: [name], ...ecdsa }],
    serverLines: [`ssl_certificate ${rsa.chain};`, `ssl_certificate_key ${rsa.key};`],
  })
  for (const [kind, { fingerprint }] of [
    ['ecdsa', ecdsa],
    ['rsa', rsa],
  ] as const) {
    const { stdout } = await run('probe', `${nginx.address}:${nginx.port}`, '--name', name, '--key-kind', kind)
    assert.match(stdout, new RegExp(`sha256 +${fingerprint}`))
  }
})

describe('a command line that makes no sense looks at nothing', () => {
  for (const [words, exit, hint] of [
    [[], 64, /nothing to look at/],
    [['192.0.2.1'], 64, /no host name to ask for/],
    [['192.0.2.1', '--from', 'list'], 64, /a list and addresses/],
    [['192.0.2.1', '--name', name, '--timeout', 'soon'], 64, /a duration/],
    [['192.0.2.1', '--name', name, '--starttls', 'gopher'], 64, /smtp, ftp, imap/],
    [['192.0.2.1', '--name', name, '--resume'], 64, /belong to a list/],
    [['--from', 'list', '--resume'], 64, /--out FILE --resume/],
    [['https://www.lab.example/'], 65, /write only the name: www\.lab\.example/],
    [['--from', '/nowhere/list'], 65, /is not there/],
    [['--from', '/'], 65, /a directory/],
  ] as const) {
    test(words.join(' ') || 'no words', async () => {
      const ended = await run('probe', ...words)
      assert.equal(ended.exit, exit, ended.stderr)
      assert.match(ended.stderr, hint)
      assert.equal(ended.stdout, '')
    })
  }
})
