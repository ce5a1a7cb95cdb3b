import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type DnsSight, lookAtDns } from '../../src/observe/dns.ts'
import { refusalOf } from '../base/refusals.ts'
import { type RunningBind, startBind } from '../real/bind.ts'
import { type DnsRelay, type Meddle, startDnsRelay } from '../real/dns-relay.ts'
import { chooseEndpoint } from '../real/running.ts'

const many = Array.from({ length: 60 }, (_, at) => `192.0.2.${at + 1}`)
const within = () => AbortSignal.timeout(20_000)

/** ns1 and ns2 disagree about www; ns3 is down. */
let ns1: RunningBind
let old: RunningBind
let ns2: DnsRelay
let meddle: Meddle = (response) => response
let down: string

before(async () => {
  const [second, third] = await Promise.all([chooseEndpoint({}), chooseEndpoint({})])
  down = third.address
  const servers = [
    { name: 'ns1.domain.example', address: '127.0.0.1' },
    { name: 'ns2.domain.example', address: second.address },
    { name: 'ns3.domain.example', address: third.address },
  ]
  const alias = ['shop CNAME www', 'away 30 CNAME www.other.example.', 'loop CNAME loop2', 'loop2 CNAME loop']
  ns1 = await startBind({
    recursion: true,
    zones: [
      {
        name: 'domain.example',
        servers,
        records: [
          'www 60 A 192.0.2.1',
          'www 90 AAAA 2001:db8::1',
          ...many.map((each) => `many 60 A ${each}`),
          ...alias,
        ],
      },
      { name: 'other.example', records: ['www 20 A 192.0.2.77'] },
      { name: '.', servers: [{ name: 'ns1.domain.example', address: '127.0.0.1' }] },
    ],
  })
  old = await startBind({
    zones: [{ name: 'domain.example', servers, records: ['www 600 A 192.0.2.1', 'www 600 A 192.0.2.9', ...alias] }],
  })
  ns2 = await startDnsRelay(old, (response, transport) => meddle(response, transport), {
    address: second.address,
    port: ns1.port,
  })
})

after(async () => {
  await ns2[Symbol.asyncDispose]()
  await old.stop()
  await ns1.stop()
})

const look = (name: string) =>
  lookAtDns(name, { resolvers: [ns1.server], authoritativePort: ns1.port, timeoutMs: 1_000 }, within())

const said = ({ as, server, addresses, alias, failure }: DnsSight) => ({
  as,
  server,
  addresses: addresses.map(({ address, ttlS }) => `${address} ${ttlS}`),
  ...(alias && { alias }),
  ...(failure && { failure: true }),
})

test('each name server is asked by itself: two that disagree, one that is down, and the resolver, with their TTLs', async () => {
  const { sights } = await look('WWW.domain.example.')
  assert.deepEqual(sights.map(said), [
    { as: 'authority', server: 'ns1.domain.example', addresses: ['192.0.2.1 60', '2001:db8::1 90'] },
    { as: 'authority', server: 'ns2.domain.example', addresses: ['192.0.2.1 600', '192.0.2.9 600'] },
    { as: 'authority', server: 'ns3.domain.example', addresses: [], failure: true },
    { as: 'resolver', server: ns1.server, addresses: ['192.0.2.1 60', '2001:db8::1 90'] },
  ])
  const failure = sights.find(({ server }) => server === 'ns3.domain.example')?.failure ?? ''
  assert.ok(failure.startsWith(`no answer at ${down}:${ns1.port}: UDP: ECONNREFUSED`), failure)
})

test('what does not fit into a datagram is read whole, over TCP', async () => {
  const { sights } = await look('many.domain.example')
  const first = sights.find(({ server }) => server === 'ns1.domain.example')
  assert.deepEqual(first?.addresses.map(({ address }) => address).sort(), [...many].sort())
})

test('an alias is followed inside a zone, and into another one, whose servers are asked then', async () => {
  const inside = await look('shop.domain.example')
  assert.deepEqual(inside.sights.map(said)[0]?.addresses, ['192.0.2.1 60', '2001:db8::1 90'])
  const { sights } = await look('away.domain.example')
  const [, second] = sights.map(said)
  assert.deepEqual(second, { as: 'authority', server: 'ns2.domain.example', addresses: [], alias: 'www.other.example' })
  const there = sights.filter(({ name }) => name === 'www.other.example').map(said)
  assert.deepEqual(there, [{ as: 'authority', server: 'ns1.other.example', addresses: ['192.0.2.77 20'] }])
})

test('aliases in a circle are refused by the resolver, and that is told', async () => {
  const error = await refusalOf(() => look('loop.domain.example'))
  assert.equal(error.code, 'DNS_UNREACHABLE')
  assert.match(error.failure.fact ?? '', /SERVFAIL/)
})

test('a name that is not there has no address, and that is no failure; a zone that is not there is one', async () => {
  const { sights } = await look('nothing.domain.example')
  assert.deepEqual(sights.map(said)[0], { as: 'authority', server: 'ns1.domain.example', addresses: [] })
  assert.equal((await refusalOf(() => look('example'))).code, 'DNS_ZONE_NOT_FOUND')
})

test('a server that speaks from a cache, and one that refuses, are told as such and not believed', async () => {
  const flags =
    (change: (flags: number) => number): Meddle =>
    (response) => {
      const changed = Buffer.from(response)
      changed.writeUInt16BE(change(changed.readUInt16BE(2)), 2)
      return changed
    }
  meddle = flags((word) => word & ~0x0400)
  const cached = (await look('www.domain.example')).sights.find(({ server }) => server === 'ns2.domain.example')
  meddle = flags((word) => (word & ~0xf) | 5)
  const refused = (await look('www.domain.example')).sights.find(({ server }) => server === 'ns2.domain.example')
  meddle = (response) => response
  assert.deepEqual([cached?.addresses, cached?.failure], [[], 'not authoritative for it (NOERROR, no AA)'])
  assert.deepEqual([refused?.addresses, refused?.failure], [[], 'it says REFUSED'])
})
