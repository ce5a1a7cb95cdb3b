import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { OnecertError } from '../../../src/base/errors.ts'
import type { AcmeClient } from '../../../src/issue/acme/client.ts'
import { acmeProblemOf } from '../../../src/issue/acme/problem.ts'
import { mayHaveArrived } from '../../../src/issue/acme/session.ts'
import { generatePrivateKey } from '../../../src/pki/key.ts'
import { refusalOf } from '../../base/refusals.ts'
import { scratch } from '../../base/scratch.ts'
import {
  type AcmeProxy,
  path,
  problem,
  rateLimited,
  type Seen,
  startAcmeProxy,
  unavailable,
} from '../../real/acme-proxy.ts'
import { writeCertificate } from '../../real/certificate.ts'
import { type Pebble, startPebble } from '../../real/pebble.ts'
import { chooseEndpoint } from '../../real/running.ts'
import { accountAt, clientOf } from './account-at.ts'

const wanted = { names: ['a.example'] }
const always = 1_000_000
let pebble: Pebble

// Every nonce is good here: each request that is seen is one that was wanted.
before(async () => {
  pebble = await startPebble({ nonceRejectPercent: 0, alwaysValid: true })
})
after(() => pebble.stop())

const orders = ({ seen }: AcmeProxy) => seen.filter(path('/order-plz')).length

async function timed(act: () => Promise<unknown>): Promise<{ error: OnecertError; tookMs: number }> {
  const startMs = performance.now()
  const error = await refusalOf(act)
  return { error, tookMs: performance.now() - startMs }
}

test('the answer to a new order is lost: it is not asked for again, and the error says that it may be there', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy)
  proxy.inject({ on: path('/order-plz'), deed: { kind: 'cut-after' } })
  const error = await refusalOf(() => client.newOrder(wanted))
  assert.equal(error.code, 'ACME_UNREACHABLE')
  assert.ok(error.retryable && mayHaveArrived(error))
  assert.equal(error.failure.state, 'the CA may have got this and done it')
  assert.equal(orders(proxy), 1)
  // The cut connection and its nonce are forgotten.
  assert.equal((await client.newOrder(wanted)).status, 'pending')
})

test('a new order that is cut before the CA has it is not asked for again either: nobody can tell it apart', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy)
  proxy.inject({ on: path('/order-plz'), deed: { kind: 'cut-before' } })
  const error = await refusalOf(() => client.newOrder(wanted))
  assert.ok(mayHaveArrived(error))
  assert.equal(orders(proxy), 1)
})

/** Each with the path of the request that is cut off. */
const changes: Readonly<Record<string, readonly [string, (client: AcmeClient) => Promise<unknown>]>> = {
  'a registration': ['/sign-me-up', (client) => client.register({ contact: [] })],
  'a challenge to be looked at': [
    '/chalZ/',
    async (client) => {
      const order = await client.newOrder(wanted)
      const { challenges } = await client.authorization(order.authorizations[0] ?? '')
      await client.respond(challenges[0]?.url ?? '')
    },
  ],
  'a finalization': [
    '/finalize-order/',
    async (client) => client.finalize(await client.newOrder(wanted), new Uint8Array(4)),
  ],
  'a key change': ['/rollover-account-key', (client) => client.changeKey(generatePrivateKey('ec-p256'))],
  'a revocation': ['/revoke-cert', (client) => client.revoke(new Uint8Array(4), 0)],
}
for (const [what, [begin, act]] of Object.entries(changes)) {
  test(`${what} is sent once, when its answer is lost and when the CA says 500`, async () => {
    await using proxy = await startAcmeProxy(pebble)
    const client = await accountAt(proxy)
    const sent = () => proxy.seen.filter(path(begin)).length
    for (const deed of [{ kind: 'cut-after' }, { kind: 'answer', status: 500 }] as const) {
      const before = sent()
      proxy.inject({ on: path(begin), deed })
      const error = await refusalOf(() => act(client))
      assert.ok(error.code === 'ACME_UNREACHABLE' && mayHaveArrived(error), `${error.code} ${error.failure.fact}`)
      assert.equal(sent(), before + 1)
    }
  })
}

test('what only reads is asked for again after cuts and errors of the CA', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = clientOf(proxy)
  proxy.inject({ on: path('/dir'), deed: { kind: 'cut-before' } })
  proxy.inject({ on: path('/dir'), nth: 2, deed: { kind: 'answer', status: 502 } })
  proxy.inject({ on: path('/nonce-plz'), deed: { kind: 'cut-after' } })
  await client.register({ contact: [] })
  const { url } = await client.newOrder(wanted)
  proxy.inject({ on: path('/my-order/'), deed: { kind: 'cut-after' } })
  proxy.inject({ on: path('/my-order/'), nth: 2, deed: { kind: 'answer', status: 500 } })
  assert.equal((await client.order(url)).status, 'pending')
  assert.equal(proxy.seen.filter(path('/my-order/')).length, 3)
})

test('a connection that is refused is tried again, also for a new order: nothing was sent', async () => {
  const first = await startAcmeProxy(pebble)
  const client = await accountAt(first)
  await first.stop()
  // Until the client has seen that its connections are closed.
  await sleep(50)
  const order = client.newOrder(wanted)
  await sleep(300)
  await using second = await startAcmeProxy(pebble, { port: first.port })
  assert.equal((await order).status, 'pending')
  assert.equal(orders(second), 1)
})

test('a CA that is not there is given up at the time limit, and the error says that nothing was done', async () => {
  const { address, port } = await chooseEndpoint({})
  const client = clientOf({ directoryUrl: `https://${address}:${port}/dir`, trust: pebble.trust }, { withinMs: 1_000 })
  const { error, tookMs } = await timed(() => client.newOrder(wanted))
  assert.equal(error.code, 'ACME_UNREACHABLE')
  assert.match(error.failure.fact ?? '', /ECONNREFUSED.*; attempts: [2-9]/)
  assert.equal(error.failure.state, 'the CA did nothing of it')
  assert.ok(!mayHaveArrived(error) && tookMs < 1_500, `${tookMs} ms`)
})

test('503 with a Retry-After that fits is waited for, also with a new order; one that does not fit ends it at once', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy)
  proxy.inject({ on: path('/order-plz'), deed: unavailable(1) })
  const startMs = performance.now()
  assert.equal((await client.newOrder(wanted)).status, 'pending')
  assert.ok(performance.now() - startMs >= 1_000)
  proxy.inject({ on: path('/order-plz'), deed: unavailable(600) })
  const { error, tookMs } = await timed(() => client.newOrder(wanted))
  assert.equal(error.code, 'ACME_UNREACHABLE')
  assert.match(error.failure.fact ?? '', /^status 503, text\/html, it begins "<h1>Service Unavailable<\/h1>"$/)
  assert.ok(!mayHaveArrived(error) && tookMs < 500, `${tookMs} ms`)
})

test('a rate limit ends it at the first answer, and the time that the CA names can be read', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy)
  const atMs = Math.floor(Date.now() / 1000) * 1000 + 7_200_000
  for (const [retryAfter, expectedMs] of [
    [3_600, Date.now() + 3_600_000],
    [new Date(atMs).toUTCString(), atMs],
  ] as const) {
    const before = orders(proxy)
    proxy.inject({ on: path('/order-plz'), deed: rateLimited(retryAfter) })
    const error = await refusalOf(() => client.newOrder(wanted))
    assert.equal(error.code, 'ACME_RATE_LIMITED')
    const notBeforeMs = acmeProblemOf(error)?.notBeforeMs ?? 0
    assert.ok(Math.abs(notBeforeMs - expectedMs) < 5_000)
    assert.ok(error.failure.fact?.endsWith(`not before ${new Date(notBeforeMs).toISOString()}`), error.failure.fact)
    assert.equal(orders(proxy), before + 1)
  }
})

test('a rate limit of what stands before the CA, and one that comes as 503, are rate limits too', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy)
  proxy.inject({ on: path('/order-plz'), deed: { kind: 'answer', status: 429, headers: { 'Retry-After': '60' } } })
  assert.equal((await refusalOf(() => client.newOrder(wanted))).code, 'ACME_RATE_LIMITED')
  proxy.inject({ on: path('/order-plz'), deed: problem('rateLimited', 503, 'Service busy; retry later.') })
  const error = await refusalOf(() => client.newOrder(wanted))
  assert.deepEqual([error.code, acmeProblemOf(error)?.notBeforeMs], ['ACME_RATE_LIMITED', null])
})

test('nonces that are all refused end it at the time limit, with pauses, and nothing was done', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy, { withinMs: 1_500 })
  proxy.inject({ on: path('/order-plz'), times: always, deed: problem('badNonce', 400, 'not this one') })
  const { error, tookMs } = await timed(() => client.newOrder(wanted))
  assert.equal(error.code, 'ACME_UNREACHABLE')
  assert.match(error.failure.fact ?? '', /^it refused (\d+) nonces in a row/)
  assert.ok(!mayHaveArrived(error) && tookMs < 2_500, `${tookMs} ms`)
  assert.ok(orders(proxy) > 5 && orders(proxy) < 20, `${orders(proxy)} requests`)
})

test('the nonce of the answer that refuses one is the next', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy)
  const nonce = 'dGhlLW5vbmNlLW9mLXRoZS1lcnJvcg'
  const headers = { 'Replay-Nonce': nonce }
  proxy.inject({ on: path('/order-plz'), deed: problem('badNonce', 400, 'not this one', headers) })
  await client.newOrder(wanted)
  // Pebble has never heard of it, and gives another one.
  const nonces = proxy.seen.filter(path('/order-plz')).map((seen) => seen.protected?.nonce)
  assert.deepEqual([nonces.length, nonces[1]], [3, nonce])
})

test('requests say who asks, take each nonce once, and ask for a nonce only where none is left', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy)
  const { url } = await client.newOrder(wanted)
  await Promise.all([client.order(url), client.order(url), client.order(url)])
  const nonces = proxy.seen.flatMap((seen) => (seen.protected ? [seen.protected.nonce] : []))
  assert.equal(new Set(nonces).size, nonces.length)
  assert.equal(proxy.seen.filter(path('/nonce-plz')).length, 3)
  assert.ok(proxy.seen.every(({ userAgent }) => /^onecert\/\d+\.\d+\.\d+$/.test(userAgent)))
})

const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
const broken = {
  'HTML in the place of an order': { kind: 'change', headers: { 'content-type': 'text/html' } },
  'an order without its authorizations': {
    kind: 'change',
    body: (json: string) => json.replace('"authorizations"', '"x"'),
  },
  'an http URL': { kind: 'change', body: (json: string) => json.replaceAll('https://', 'http://') },
  'a status that does not exist': { kind: 'change', body: (json: string) => json.replace('"pending"', '"wip"') },
  'a date that is none': {
    kind: 'change',
    body: (json: string) => json.replace(/"expires": ?"[^"]*"/, '"expires":"soon"'),
  },
  'half a document': { kind: 'change', body: (json: string) => json.slice(0, 40) },
  'no URL of the order': { kind: 'change', headers: { location: 'javascript:1' } },
  'a redirect': { kind: 'answer', status: 302, headers: { Location: 'https://127.0.0.1/' } },
  'an answer that does not end': { kind: 'endless' },
} as const
for (const [what, deed] of Object.entries(broken)) {
  test(`${what} breaks the protocol`, async () => {
    await using proxy = await startAcmeProxy(pebble)
    const client = await accountAt(proxy)
    proxy.inject({ on: path('/order-plz'), deed })
    const { error, tookMs } = await timed(() => client.newOrder(wanted))
    assert.equal(error.code, 'ACME_PROTOCOL', error.failure.fact)
    assert.ok((error.failure.fact ?? '').length > 10, error.failure.fact)
    assert.equal(orders(proxy), 1)
    assert.ok(tookMs < 2_000, `${tookMs} ms`)
  })
}

test('what is given for a certificate is certificates in PEM and nothing else', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy)
  const url = new URL('/certZ/1', proxy.directoryUrl).href
  const type = { 'Content-Type': 'application/pem-certificate-chain' }
  const key = '-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n'
  for (const [headers, body] of [
    [{}, pem],
    [type, ''],
    [type, 'hello'],
    [type, pem + key],
  ] as const) {
    proxy.inject({ on: path('/certZ/'), deed: { kind: 'answer', status: 200, headers, body } })
    assert.equal((await refusalOf(() => client.certificate(url))).code, 'ACME_PROTOCOL')
  }
  const link = '</certZ/1/a>; rel="alternate", <http://x/>;rel=alternate, <https://x/>;title="alternate";rel="up"'
  proxy.inject({
    on: path('/certZ/'),
    deed: { kind: 'answer', status: 200, headers: { ...type, Link: link }, body: pem },
  })
  const { alternates } = await client.certificate(url)
  assert.deepEqual(alternates, [new URL('/certZ/1/a', proxy.directoryUrl).href])
})

test('an answer that drips is given up at the time limit', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy, { withinMs: 1_000 })
  proxy.inject({ on: path('/order-plz'), deed: { kind: 'drip', everyMs: 50 } })
  const { error, tookMs } = await timed(() => client.newOrder(wanted))
  assert.equal(error.code, 'ACME_UNREACHABLE')
  assert.ok(mayHaveArrived(error) && tookMs < 1_500, `${tookMs} ms`)
})

test('a signal ends what goes on, with its reason', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const stop = new AbortController()
  const client = await accountAt(proxy, { signal: stop.signal })
  const startMs = performance.now()
  for (const act of [() => client.newOrder(wanted), () => client.account()]) {
    const deed = { kind: 'drip', everyMs: 50 } as const
    if (!stop.signal.aborted) proxy.inject({ on: path('/order-plz'), deed })
    setTimeout(() => stop.abort(new Error('Ctrl-C')), 100)
    await assert.rejects(act, /^Error: Ctrl-C$/)
  }
  assert.ok(performance.now() - startMs < 1_000)
})

interface Given {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

const noDirectory: Readonly<Record<string, readonly [Given, RegExp]>> = {
  'a web page': [
    { status: 200, headers: { 'Content-Type': 'text/html' }, body: '<html>\x1b[31mhello' },
    /^status 200, text\/html, it begins "<html>\\x1b\[31mhello"$/,
  ],
  'a 404': [{ status: 404, body: 'not here' }, /^status 404, no content type, it begins "not here"$/],
  'a redirect': [
    { status: 301, headers: { Location: 'https://elsewhere.example/dir' } },
    /^status 301.*it points to https:\/\/elsewhere\.example\/dir$/,
  ],
  'JSON of something else': [
    { status: 200, headers: { 'Content-Type': 'application/json' }, body: '{"ok":true}' },
    /^newNonce: .*; status 200, application\/json, it begins "\{"ok":true\}"$/,
  ],
  'an http URL in it': [
    {
      status: 200,
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify(
        Object.fromEntries(
          ['newNonce', 'newAccount', 'newOrder', 'revokeCert', 'keyChange'].map((name) => [
            name,
            name === 'newOrder' ? 'http://ca.example/' : 'https://ca.example/',
          ]),
        ),
      ),
    },
    /^newOrder: expected an https URL; /,
  ],
}
for (const [what, [answer, fact]] of Object.entries(noDirectory)) {
  test(`${what} is not a directory`, async () => {
    await using proxy = await startAcmeProxy(pebble)
    proxy.inject({ on: path('/dir'), times: always, deed: { kind: 'answer', ...answer } })
    const client = clientOf(proxy)
    const error = await refusalOf(() => client.newOrder(wanted))
    assert.equal(error.code, 'ACME_NOT_A_DIRECTORY')
    assert.match(error.failure.fact ?? '', fact)
    assert.equal(proxy.seen.length, 1)
  })
}

test('http URLs and what is no URL are not asked', async () => {
  for (const directoryUrl of ['http://ca.example/dir', 'ca.example/dir', '', 'file:///etc/passwd']) {
    const error = await refusalOf(() => clientOf({ directoryUrl, trust: pebble.trust }).directory())
    assert.equal(error.code, 'ACME_NOT_A_DIRECTORY')
  }
})

test('a CA whose own HTTPS is not below the given root is not asked', async () => {
  await using directory = await scratch()
  const other = await writeCertificate(directory.path, ['other.example'])
  const trust = await readFile(other.chain, 'utf8')
  await using proxy = await startAcmeProxy(pebble)
  const { error, tookMs } = await timed(() => clientOf({ ...proxy, trust }).directory())
  assert.equal(error.code, 'ACME_UNTRUSTED')
  assert.ok(tookMs < 1_000, 'it is not tried again')
  assert.equal(proxy.seen.length, 0)
})

test('without a root of its own a CA must be on the Internet: nothing is sent to any other address', async () => {
  let connections = 0
  await using listener = createServer((socket) => {
    connections += 1
    socket.destroy()
  }).listen(0)
  await once(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const literals = ['127.0.0.1', '[::1]', '0x7f.1', '2130706433', '169.254.169.254', '[::ffff:127.0.0.1]', '0.0.0.0']
  for (const host of ['localhost', ...literals]) {
    const client = clientOf({ directoryUrl: `https://${host}:${port}/dir` }, { withinMs: 2_000 })
    const { error, tookMs } = await timed(() => client.directory())
    assert.equal(error.code, 'ACME_ADDRESS_REFUSED', host)
    assert.ok(tookMs < 1_000, 'it is not tried again')
  }
  assert.equal(connections, 0)
})

const week = { start: '2026-11-20T00:00:00Z', end: '2026-11-22T00:00:00.5+01:00' }

test('renewal information is read: window, explanation, when to ask again', async () => {
  const known = { suggestedWindow: week, explanationURL: 'https://ca.example/why', retryAfter: 21_600 }
  await using proxy = await startAcmeProxy(pebble, { renewalInfo: (id) => (id === 'aki.serial' ? known : null) })
  const client = clientOf(proxy)
  assert.deepEqual(await client.renewalInfo('aki.serial'), {
    startMs: Date.UTC(2026, 10, 20),
    endMs: Date.UTC(2026, 10, 21, 23, 0, 0, 500),
    explanationUrl: 'https://ca.example/why',
    retryAfterMs: 21_600_000,
  })
  assert.equal(await client.renewalInfo('aki.other'), null)
  assert.equal(await clientOf(pebble).renewalInfo('aki.serial'), null)
})

test('a window that ends before it begins breaks the protocol', async () => {
  const suggestedWindow = { start: week.end, end: week.start }
  await using proxy = await startAcmeProxy(pebble, { renewalInfo: () => ({ suggestedWindow }) })
  assert.equal((await refusalOf(() => clientOf(proxy).renewalInfo('aki.serial'))).code, 'ACME_PROTOCOL')
})

const payloads = ({ seen }: AcmeProxy) => seen.filter(path('/order-plz')).map((one: Seen) => one.payload)
const identifiers = [{ type: 'dns', value: 'a.example' }]

test('an order names a profile that the CA has, and the certificate that it replaces', async () => {
  const profiles = { shortlived: 'six days', tls: 'the usual' }
  await using proxy = await startAcmeProxy(pebble, { profiles, renewalInfo: () => null })
  const client = await accountAt(proxy)
  assert.deepEqual((await client.directory()).meta.profiles, profiles)
  await client.newOrder({ ...wanted, profile: 'shortlived', replaces: 'aki.serial' })
  assert.deepEqual(payloads(proxy), [{ identifiers, profile: 'shortlived', replaces: 'aki.serial' }])
  const error = await refusalOf(() => client.newOrder({ ...wanted, profile: 'long' }))
  assert.equal(error.code, 'ACME_PROFILE_UNKNOWN')
  assert.equal(error.failure.fact, 'it has shortlived, tls')
  assert.equal(orders(proxy), 1)
})

test('a CA without renewal information and profiles is told neither', async () => {
  await using proxy = await startAcmeProxy(pebble)
  const client = await accountAt(proxy)
  await client.newOrder({ ...wanted, replaces: 'aki.serial' })
  assert.deepEqual(payloads(proxy), [{ identifiers }])
  const error = await refusalOf(() => client.newOrder({ ...wanted, profile: 'long' }))
  assert.deepEqual([error.code, error.failure.fact], ['ACME_PROFILE_UNKNOWN', 'it has no profiles'])
})
