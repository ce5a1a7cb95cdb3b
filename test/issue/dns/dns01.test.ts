import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { systemClock } from '../../../src/base/clock.ts'
import { makeResolver } from '../../../src/dns/resolver.ts'
import { dns01 } from '../../../src/issue/dns/dns01.ts'
import type { PropagationSettings } from '../../../src/issue/dns/propagation.ts'
import type { DnsProvider } from '../../../src/issue/dns/provider/provider.ts'
import { rfc2136 } from '../../../src/issue/dns/provider/rfc2136.ts'
import type { TokenChallenge } from '../../../src/issue/solver.ts'
import { refusalOf } from '../../base/refusals.ts'
import { type BindKey, type RunningBind, startBind } from '../../real/bind.ts'
import { type DnsRelay, startDnsRelay } from '../../real/dns-relay.ts'
import { chooseEndpoint } from '../../real/running.ts'
import { digTxt } from './lookup.ts'

const key: BindKey = { name: 'onecert', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'k').toString('base64') }
const within = () => AbortSignal.timeout(20_000)
const pass = (response: Buffer) => response

/** `alias1` leads over `count` aliases to where nothing is. */
const aliases = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, at) =>
    at === 0
      ? `_acme-challenge.${prefix} CNAME ${prefix}1`
      : `${prefix}${at} CNAME ${at === count - 1 ? `_acme-challenge.end.delegated.example.` : `${prefix}${at + 1}`}`,
  )

/** The zones domain.example, with a primary and a secondary that lags, and delegated.example, with a server that never gets anything. */
let primary: RunningBind
let secondary: RunningBind
let frozen: RunningBind
/** The name servers as the NS records have them: different addresses, one port. */
let ns1: DnsRelay
let ns2: DnsRelay
let ns3: DnsRelay
let provider: DnsProvider
let settings: PropagationSettings

before(async () => {
  const places = [
    await chooseEndpoint({}),
    await chooseEndpoint({}),
    await chooseEndpoint({}),
    await chooseEndpoint({}),
  ]
  const [first, second, third, nobody] = places.map(({ address }) => address) as [string, string, string, string]
  const stale = [
    { name: 'ns1.stale.example', address: first },
    { name: 'ns3.stale.example', address: third },
  ]
  const servers = [
    { name: 'ns1.domain.example', address: first },
    { name: 'ns2.domain.example', address: second },
  ]
  const records = [
    '_acme-challenge.shop CNAME _acme-challenge.shop.delegated.example.',
    ...aliases('eight', 8),
    ...aliases('nine', 9),
    '_acme-challenge.circle CNAME round',
    'round CNAME _acme-challenge.circle',
  ]
  const delegated = { name: 'delegated.example', servers: [{ name: 'ns1.delegated.example', address: first }] }
  const lame = [
    { name: 'ns1.lame.example', address: first },
    { name: 'ns3.lame.example', address: third },
    { name: 'ns4.lame.example', address: nobody },
    { name: 'gone.lame-names.example', address: nobody },
  ]
  primary = await startBind({
    keys: [key],
    zones: [
      { name: 'domain.example', servers, records },
      delegated,
      { name: 'stale.example', servers: stale },
      { name: 'lame.example', servers: lame },
      { name: 'lame-names.example' },
      { name: 'serverless.example', servers: [{ name: 'gone.lame-names.example', address: first }] },
      { name: '.', servers: [{ name: 'ns1.domain.example', address: first }] },
    ],
  })
  secondary = await startBind({ zones: [{ name: 'domain.example', primaryPort: primary.port }] })
  frozen = await startBind({
    zones: [{ name: 'stale.example', servers: stale, records: ['_acme-challenge.old TXT "an-older-value"'] }],
  })
  const port = places[0]?.port ?? 0
  ns1 = await startDnsRelay(primary, pass, { address: first, port })
  ns2 = await startDnsRelay(secondary, pass, { address: second, port })
  ns3 = await startDnsRelay(frozen, pass, { address: third, port })
  provider = rfc2136({ server: primary.server, keyFile: await primary.keyFile(key) }, systemClock)
  settings = {
    resolver: makeResolver({ servers: [primary.server] }),
    clock: systemClock,
    authoritativePort: port,
    pauseMs: 50,
    withinMs: 10_000,
    timeoutMs: 1_000,
  }
})

after(async () => {
  for (const relay of [ns1, ns2, ns3]) await relay[Symbol.asyncDispose]()
  for (const bind of [primary, secondary, frozen]) await bind.stop()
})

function challengeOf(name: string, token = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA'): TokenChallenge {
  return { name, type: 'dns-01', token, keyAuthorization: `${token}.9jg46WB3rR_AHD-EBXdN7cBkH1WOu0tA3M9fm21mqTI` }
}

/** RFC 8555 section 8.4. */
function digestOf({ keyAuthorization }: TokenChallenge): string {
  return createHash('sha256').update(keyAuthorization).digest('base64url')
}

test('present waits for a secondary that lags, and remove takes the value away again', async () => {
  const solver = dns01(provider, settings)
  const challenge = challengeOf('www.domain.example')
  const name = '_acme-challenge.www.domain.example'
  await solver.present(challenge, within())
  assert.deepEqual(await digTxt(primary, name), [digestOf(challenge)])
  assert.deepEqual(await digTxt(secondary, name), [digestOf(challenge)])
  await solver.present(challenge, within())
  assert.deepEqual(await digTxt(primary, name), [digestOf(challenge)])
  await solver.remove(challenge)
  assert.deepEqual(await digTxt(primary, name), [])
  await solver.remove(challenge)
})

test('the name and its wildcard are proved at one name by two values, side by side', async () => {
  const solver = dns01(provider, settings)
  const both = [challengeOf('domain.example', 'one'), challengeOf('domain.example', 'two')]
  await Promise.all(both.map((each) => solver.present(each, within())))
  assert.deepEqual((await digTxt(secondary, '_acme-challenge.domain.example')).sort(), both.map(digestOf).sort())
  for (const each of both) await solver.remove(each)
  assert.deepEqual(await digTxt(primary, '_acme-challenge.domain.example'), [])
})

test('a value among many, whose answer does not fit into a datagram, is seen over TCP', async () => {
  const name = '_acme-challenge.many.domain.example'
  const others = Array.from({ length: 12 }, (_, at) => ({ name, value: `${at}`.padEnd(60, 'x') }))
  for (const each of others) await provider.add(each, within())
  const before = ns1.seen.tcp
  await dns01(provider, settings).present(challengeOf('many.domain.example'), within())
  assert.ok(ns1.seen.tcp > before)
  for (const each of others) await provider.remove(each, within())
})

test('a delegated name is written where its CNAME leads, in the zone that is there', async () => {
  const solver = dns01(provider, settings)
  const challenge = challengeOf('shop.domain.example')
  await solver.present(challenge, within())
  assert.deepEqual(await digTxt(primary, '_acme-challenge.shop.delegated.example'), [digestOf(challenge)])
  await solver.remove(challenge)
  assert.deepEqual(await digTxt(primary, '_acme-challenge.shop.delegated.example'), [])
})

test('eight aliases are followed; a ninth and a circle are refused, and nothing is written', async () => {
  const solver = dns01(provider, settings)
  const eight = challengeOf('eight.domain.example')
  await solver.present(eight, within())
  await solver.remove(eight)
  const written: string[] = []
  const watched = dns01({ ...provider, add: async ({ name }) => void written.push(name) }, settings)
  const nine = await refusalOf(() => watched.present(challengeOf('nine.domain.example'), within()))
  assert.equal(nine.code, 'DNS_CNAME_LOOP')
  assert.match(nine.failure.fact ?? '', /more than 8/)
  const circle = await refusalOf(() => watched.present(challengeOf('circle.domain.example'), within()))
  assert.equal(circle.code, 'DNS_CNAME_LOOP')
  assert.match(circle.failure.fact ?? '', /circle/)
  assert.deepEqual(written, [])
})

test('a name server that never gets the value is named, with what it answers', async () => {
  const solver = dns01(provider, { ...settings, withinMs: 300 })
  for (const [name, answer] of [
    ['www.stale.example', 'no TXT record (NXDOMAIN)'],
    ['old.stale.example', 'other values: "an-older-value"'],
  ] as const) {
    const challenge = challengeOf(name)
    const error = await refusalOf(() => solver.present(challenge, within()))
    assert.equal(error.code, 'DNS_NOT_PROPAGATED')
    assert.equal(
      error.failure.what,
      `1 of 2 name servers of stale.example do not show the TXT record of _acme-challenge.${name}`,
    )
    assert.equal(error.failure.fact, `ns3.stale.example (${ns3.address}): ${answer}`)
    assert.deepEqual(await digTxt(primary, `_acme-challenge.${name}`), [digestOf(challenge)])
    await solver.remove(challenge)
    assert.deepEqual(await digTxt(primary, `_acme-challenge.${name}`), [])
  }
})

test('a name server without the zone and one that is down are named; one whose name has no address is passed over', async () => {
  const solver = dns01(provider, { ...settings, withinMs: 300 })
  const challenge = challengeOf('lame.example')
  const { code, failure } = await refusalOf(() => solver.present(challenge, within()))
  assert.equal(code, 'DNS_NOT_PROPAGATED')
  const facts = (failure.fact ?? '').split('; ')
  assert.equal(facts.length, 2)
  assert.equal(facts[0], `ns3.lame.example (${ns3.address}): not authoritative for it (REFUSED, no AA)`)
  assert.match(facts[1] ?? '', /^ns4\.lame\.example .*no answer at 127\..*ECONNREFUSED/)
  await solver.remove(challenge)
})

test('a name outside of every zone, and a zone whose name servers have no address, are refused', async () => {
  const solver = dns01({ ...provider, add: async () => {} }, settings)
  const nowhere = await refusalOf(() => solver.present(challengeOf('www.nowhere.test'), within()))
  assert.equal(nowhere.code, 'DNS_ZONE_NOT_FOUND')
  const unreachable = await refusalOf(() => solver.present(challengeOf('serverless.example'), within()))
  assert.equal(unreachable.code, 'DNS_UNREACHABLE')
  assert.match(unreachable.failure.fact ?? '', /gone\.lame-names\.example/)
})

test('an interrupted wait for name servers ends with the reason of the interruption', async () => {
  const reason = new Error('enough')
  const stop = new AbortController()
  setTimeout(() => stop.abort(reason), 150)
  const challenge = challengeOf('www.stale.example')
  await assert.rejects(dns01(provider, settings).present(challenge, stop.signal), (error) => error === reason)
  await dns01(provider, settings).remove(challenge)
})

test('the next resolver is asked where one is down; where all are, each is named', async () => {
  const nobody = await chooseEndpoint({})
  const down = `${nobody.address}:${nobody.port}`
  const resolver = makeResolver({ servers: [down, primary.server], timeoutMs: 5_000 })
  const { answers } = await resolver.lookup('shop.domain.example', 'SOA', within())
  assert.deepEqual(answers, [])
  const { code, failure } = await refusalOf(() =>
    makeResolver({ servers: [down, secondary.server], timeoutMs: 5_000 }).lookup('elsewhere.test', 'A', within()),
  )
  assert.equal(code, 'DNS_UNREACHABLE')
  assert.match(failure.fact ?? '', new RegExp(`^${down}: UDP: ECONNREFUSED.*; ${secondary.server} says REFUSED$`))
})

test('an address that no packet can be sent to is unreachable, over UDP and TCP', async () => {
  const broadcast = makeResolver({ servers: ['255.255.255.255'] })
  const { code, failure } = await refusalOf(() => broadcast.lookup('domain.example', 'A', within()))
  assert.equal(code, 'DNS_UNREACHABLE')
  assert.match(failure.fact ?? '', /UDP: E[A-Z]+, TCP: E[A-Z]+$/)
})

test('a resolver is an address, with a port or without', async () => {
  for (const servers of [['192.0.2.53'], ['192.0.2.53:5353'], ['2001:db8::53'], ['[2001:db8::53]:5353']])
    makeResolver({ servers })
  for (const server of [
    '',
    'ns1.domain.example',
    '192.0.2.53:0',
    '192.0.2.53:99999',
    '[192.0.2.53]:53',
    '1.2.3:53',
    '::1:x',
  ]) {
    const { code } = await refusalOf(() => makeResolver({ servers: [server] }))
    assert.equal(code, 'CONFIG_BAD_VALUE', server)
  }
})
