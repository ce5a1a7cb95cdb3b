import assert from 'node:assert/strict'
import { test } from 'node:test'
import { chosenCertificates, readSites } from '../../src/actions/choice.ts'
import { parseFleet } from '../../src/fleet/document.ts'

const text = `version: 1
issuers: { own: { local-ca: { common-name: Lab } } }
certificates:
  www: { names: [www.lab.example, shop.lab.example], issuer: own }
  both: { names: [both.lab.example], issuer: own }
  rsa: { names: [both.lab.example], issuer: own, key: { type: rsa-2048 } }
  api.lab.example: { names: [api.lab.example], issuer: own }
servers:
  eu-1: { local: true, address: 127.0.0.1, service: nginx }
  app-1: { local: true, address: 127.0.0.2, service: none }
sites:
  www.lab.example: { certificate: www, dns: [eu-1] }
  shop.lab.example: { certificate: www, dns: [eu-1] }
  both.lab.example: { certificate: [both, rsa], dns: [eu-1] }
  api.lab.example: { certificate: api.lab.example, reverse-proxy: { servers: [eu-1], upstreams: [{ url: 'http://127.0.0.2:80', server: app-1 }] } }
`
const fleet = parseFleet(text, { file: 'onecert.yaml', directory: '/lab' })

test('a site stands for its certificates, each once; a certificate of that name comes first', () => {
  const read = (...certificates: string[]) => readSites(fleet, { certificates }).certificates
  assert.deepEqual(read('www.lab.example', 'shop.lab.example'), ['www'])
  assert.deepEqual(read('both.lab.example'), ['both', 'rsa'])
  assert.deepEqual(read('www', 'nobody'), ['www', 'nobody'])
  assert.deepEqual(readSites(fleet, { servers: ['eu-1'] }), { servers: ['eu-1'], certificates: [] })
})

test('a server that has none of the certificates named is refused, before nothing at all is looked at', () => {
  const choose = (certificates: string[], servers: string[]) =>
    chosenCertificates(fleet, { certificates, servers }).map(({ name }) => name)
  assert.deepEqual(choose(['www', 'api.lab.example'], ['eu-1', 'app-1']), ['www', 'api.lab.example'])
  assert.throws(() => choose(['www'], ['eu-1', 'app-1']), {
    code: 'USAGE',
    failure: { what: 'app-1 has nothing to do with www', fact: 'its certificates: api.lab.example' },
  })
})
