import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readSites } from '../../src/actions/choice.ts'
import { parseFleet } from '../../src/fleet/document.ts'

const text = `version: 1
issuers: { own: { local-ca: { common-name: Lab } } }
certificates:
  www: { names: [www.lab.example, shop.lab.example], issuer: own }
  both: { names: [both.lab.example], issuer: own }
  rsa: { names: [both.lab.example], issuer: own, key: { type: rsa-2048 } }
  api.lab.example: { names: [api.lab.example], issuer: own }
servers: { eu-1: { local: true, address: 127.0.0.1, service: nginx } }
sites:
  www.lab.example: { certificate: www, dns: [eu-1] }
  shop.lab.example: { certificate: www, dns: [eu-1] }
  both.lab.example: { certificate: [both, rsa], dns: [eu-1] }
`
const fleet = parseFleet(text, { file: 'onecert.yaml', directory: '/lab' })

test('a site stands for its certificates, each once; a certificate of that name comes first', () => {
  const read = (...certificates: string[]) => readSites(fleet, { certificates }).certificates
  assert.deepEqual(read('www.lab.example', 'shop.lab.example'), ['www'])
  assert.deepEqual(read('both.lab.example'), ['both', 'rsa'])
  assert.deepEqual(read('www', 'nobody'), ['www', 'nobody'])
  assert.deepEqual(readSites(fleet, { servers: ['eu-1'] }), { servers: ['eu-1'], certificates: [] })
})
