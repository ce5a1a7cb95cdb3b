import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isPublicAddress } from '../../../src/issue/acme/public-address.ts'

const notPublic = {
  'this machine': ['127.0.0.1', '127.255.0.1', '::1'],
  'no address': ['0.0.0.0', '::', '', 'ca.example', '1.2.3'],
  'private networks': ['10.0.0.1', '172.16.0.1', '172.31.255.255', '192.168.1.1', 'fc00::1', 'fdab::1'],
  'behind a carrier': ['100.64.0.1', '100.127.255.255'],
  'the link': ['169.254.169.254', 'fe80::1'],
  'many or all': ['224.0.0.1', '255.255.255.255', '240.0.0.1', 'ff02::1'],
  'documentation and benchmarks': ['192.0.2.1', '198.51.100.1', '203.0.113.1', '198.18.0.1', '2001:db8::1', '3fff::1'],
  'IPv4 within IPv6': [
    '::ffff:127.0.0.1',
    '::ffff:a00:1',
    '64:ff9b::10.0.0.1',
    '64:ff9b::a9fe:a9fe',
    '2002:7f00:1::',
    '::7f00:1',
  ],
  'the rest that is not given out': ['64:ff9b:1::1', '100::1', 'fec0::1', '2001::1', '4000::1'],
}
for (const [what, addresses] of Object.entries(notPublic)) {
  test(`no public address: ${what}`, () => {
    assert.deepEqual(addresses.filter(isPublicAddress), [])
  })
}

test('addresses on the Internet are public, beside the borders of what is not', () => {
  const addresses = [
    ...['1.1.1.1', '9.255.255.255', '11.0.0.0', '100.63.255.255', '100.128.0.0', '172.15.255.255', '172.32.0.0'],
    ...['126.255.255.255', '128.0.0.0', '169.253.0.1', '192.167.255.255', '192.169.0.0', '223.255.255.255'],
    ...['2606:4700::6810:84e5', '2001:4860:4860::8888', '2a00:1450::1', '64:ff9b::101:101', '::ffff:1.1.1.1'],
  ]
  assert.deepEqual(
    addresses.filter((address) => !isPublicAddress(address)),
    [],
  )
})
