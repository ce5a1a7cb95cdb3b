import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeDns, type OwnAddress } from '../../src/audit/dns.ts'
import type { DnsSight } from '../../src/observe/dns.ts'

const site = 'www.domain.example'
const own: readonly OwnAddress[] = [
  { server: 'eu-1', address: '192.0.2.11', quarantined: false },
  { server: 'us-1', address: '2001:db8::7', quarantined: false },
]

const shows = (server: string, addresses: readonly string[], more: Partial<DnsSight> = {}): DnsSight => ({
  name: site,
  as: 'authority',
  server,
  address: '192.0.2.53',
  addresses: addresses.map((address) => ({ address, ttlS: 60 })),
  alias: null,
  failure: null,
  noRoute: false,
  ...more,
})
const judged = (sights: readonly DnsSight[], servers = own) =>
  judgeDns('www', site, servers, { name: site, sights }).map(
    ({ reason, server, place }) => `${reason} ${server ?? place}`,
  )
const both = ['192.0.2.11', '2001:db8::7']

test('all name servers show all addresses: nothing', () => {
  assert.deepEqual(judged([shows('ns1', both), shows('ns2', both)]), [])
})
test('an address that is no server of the site', () => {
  assert.deepEqual(judged([shows('ns1', [...both, '192.0.2.99'])]), ['address-not-ours 192.0.2.99'])
})
test('a server that no name server shows, unless it is in quarantine', () => {
  assert.deepEqual(judged([shows('ns1', ['192.0.2.11'])]), ['address-missing us-1'])
  const apart = own.map((each) => ({ ...each, quarantined: each.server === 'us-1' }))
  assert.deepEqual(judged([shows('ns1', ['192.0.2.11'])], apart), [])
})
test('name servers that do not agree', () => {
  assert.deepEqual(judged([shows('ns1', both), shows('ns2', ['192.0.2.11'])]), ['name-servers-differ us-1'])
})
test('a name server that tells nothing is neither good nor bad, and one without a route from here no matter', () => {
  const silent = shows('ns2', [], { failure: 'no answer' })
  assert.deepEqual(judged([shows('ns1', both), silent]), ['unreachable ns2'])
  assert.deepEqual(judged([silent]), ['unreachable ns2'], 'nothing is said to be missing')
  assert.deepEqual(judged([shows('ns1', both), { ...silent, noRoute: true }]), [])
})
test('where no name server can be asked, or all of them lead in a circle, nobody has seen where it leads', () => {
  const away = shows('ns1', [], { failure: 'ENETUNREACH', noRoute: true })
  const [only, ...others] = judgeDns('www', site, own, { name: site, sights: [away] })
  assert.deepEqual([only?.reason, others], ['unreachable', []])
  assert.match(only?.what ?? '', /no way to any of its name servers$/)
  const [circle] = judgeDns('www', site, own, { name: site, sights: [shows('ns1', [], { alias: 'b.domain.example' })] })
  assert.match(circle?.what ?? '', /its aliases lead nowhere$/)
})
test('a balancer is no server, and no command publishes its address', () => {
  const balancer = [{ server: null, address: '192.0.2.5', quarantined: false }]
  const [missing] = judgeDns('www', site, balancer, { name: site, sights: [shows('ns1', [])] })
  assert.deepEqual([missing?.reason, missing?.server], ['address-missing', null])
  assert.equal(missing?.repair, 'publish the address of the balancer, 192.0.2.5, in the zone; then: onecert audit')
  const [differ] = judgeDns('www', site, balancer, {
    name: site,
    sights: [shows('ns1', ['192.0.2.5']), shows('ns2', [])],
  })
  assert.match(differ?.what ?? '', /show the address of the balancer/)
})
test('what a resolver remembers is not what the zone says', () => {
  assert.deepEqual(judged([shows('ns1', both), shows('127.0.0.1:53', ['192.0.2.99'], { as: 'resolver' })]), [])
})
test('where an alias leads on, its target is what counts', () => {
  assert.deepEqual(judged([shows('ns1', [], { alias: 'other.domain.example' }), shows('ns9', both)]), [])
})
