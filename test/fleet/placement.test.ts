import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { lineagesOn, membershipsOf, placements } from '../../src/fleet/placement.ts'
import { endpointsOf } from '../../src/observe/endpoint.ts'
import { good, parse } from './good.ts'

const fleet = parse(good)

test('a certificate is placed on every server of its sites, in the order of the servers, with the names to be proved', () => {
  const placed = placements(fleet, 'www').map(({ server, names }) => [server.name, ...names])
  assert.deepEqual(placed, [
    ['eu-1', 'www.domain.example'],
    ['us-1', 'www.domain.example', 'shop.domain.example'],
    ['edge', '*.app.domain.example'],
    ['other', 'shop.domain.example'],
  ])
})

test('a default site is looked at without a name too, on each of its servers, and on no other', () => {
  const fleet = parse(good.replace('dns: [eu-1, us-1] }', 'dns: [eu-1, us-1], without-sni: true }'))
  const names = placements(fleet, 'www').map((each) => [each.server.name, ...endpointsOf(each).map(({ name }) => name)])
  assert.deepEqual(names, [
    ['eu-1', 'www.domain.example', ''],
    ['us-1', 'www.domain.example', 'shop.domain.example', ''],
    ['edge', '*.app.domain.example'],
    ['other', 'shop.domain.example'],
  ])
  assert.deepEqual(
    placements(fleet, 'api')
      .flatMap(endpointsOf)
      .map(({ name }) => name),
    ['api.domain.example'],
  )
})

test('a certificate of another site is not placed beside it', () => {
  assert.deepEqual(
    placements(fleet, 'api').map(({ server }) => server.name),
    ['us-1'],
  )
  assert.deepEqual(placements(fleet, 'unknown'), [])
})

test('a server holds the certificates of all its sites, and no other', () => {
  assert.deepEqual(lineagesOn(fleet, 'us-1'), ['www', 'api'])
  assert.deepEqual(lineagesOn(fleet, 'edge'), ['www'])
  assert.deepEqual(lineagesOn(fleet, 'unknown'), [])
})

test('the upstreams of a reverse proxy get no copy of the key', () => {
  const text = good.replace('upstreams: ["http://10.0.1.5:8080"]', 'upstreams: ["http://192.0.2.11:8080"]')
  const placed = placements(parse(text), 'www').find(({ server }) => server.name === 'eu-1')
  assert.deepEqual(placed?.names, ['www.domain.example'])
})

test('a server is drained once at each balancer, also where sites share a backend', () => {
  const one = '{ local: true, haproxy: { socket: /run/one.sock, backend: be_www, members: { us-1: s1, other: s2 } } }'
  const two = '{ local: true, haproxy: { socket: /run/two.sock, backend: be_www } }'
  const site = (control: string) =>
    `{ certificate: www, load-balancer: { address: 203.0.113.5, servers: [us-1, other], control: ${control} } }`
  const text = good
    .replace(/^ {2}shop\.domain\.example:\n[\s\S]*?(?=^ {2}")/m, '')
    .replace(
      /^sites:\n/m,
      `sites:\n  shop.domain.example: ${site(`[${one}, ${two}]`)}\n  "a.app.domain.example": ${site(one)}\n`,
    )
  const shared = parse(text.replace('"*.app.domain.example"]', '"*.app.domain.example", a.app.domain.example]'))
  const at = (server: string) =>
    membershipsOf(shared, server).map(({ control, member }) => `${control.socket} ${control.backend}/${member}`)
  assert.deepEqual(at('us-1'), ['/run/one.sock be_www/s1', '/run/two.sock be_www/us-1'])
  assert.deepEqual(at('other'), ['/run/one.sock be_www/s2', '/run/two.sock be_www/other'])
  assert.deepEqual(at('edge'), [])
})

test('both directions agree, and no server is named twice, for any fleet', () => {
  const names = ['a', 'b', 'c', 'd']
  const site = fc.record({
    certificate: fc.constantFrom('one', 'two'),
    servers: fc.uniqueArray(fc.constantFrom(...names), { minLength: 1 }),
    kind: fc.constantFrom('dns', 'load-balancer', 'reverse-proxy'),
  })
  fc.assert(
    fc.property(fc.array(site, { maxLength: 6 }), (sites) => {
      const written = sites.map(({ certificate, servers, kind }, at) => {
        const list = `[${servers.join(', ')}]`
        const topology = {
          dns: `dns: ${list}`,
          'load-balancer': `load-balancer: { address: 192.0.2.99, servers: ${list} }`,
          'reverse-proxy': `reverse-proxy: { servers: ${list} }`,
        }[kind]
        return `  s${at}.x.example: { certificate: ${certificate}, ${topology} }\n`
      })
      const random = parse(
        'version: 1\nissuers: { lab: { local-ca: {} } }\n' +
          'certificates:\n  one: { names: ["*.x.example"], issuer: lab }\n  two: { names: ["*.x.example"], issuer: lab }\n' +
          `servers:\n${names.map((each, at) => `  ${each}: { local: true, address: 192.0.2.${at + 1}, service: nginx }\n`).join('')}` +
          (written.length > 0 ? `sites:\n${written.join('')}` : 'sites: {}\n'),
      )
      for (const certificate of ['one', 'two']) {
        const placed = placements(random, certificate)
        const on = placed.map(({ server }) => server.name)
        assert.deepEqual(
          on,
          names.filter((each) => lineagesOn(random, each).includes(certificate)),
        )
        for (const { server, names: proved } of placed) {
          const expected = sites.flatMap((each, at) => {
            return each.certificate === certificate && each.servers.includes(server.name) ? [`s${at}.x.example`] : []
          })
          assert.deepEqual(proved, expected)
        }
      }
    }),
    { numRuns: 200 },
  )
})
