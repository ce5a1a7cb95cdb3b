import assert from 'node:assert/strict'
import { test } from 'node:test'
import { proxyHeader } from '../../src/observe/proxy-header.ts'

const four = { localAddress: '192.0.2.1', localPort: 40_000, remoteAddress: '203.0.113.5', remotePort: 443 }
const six = { localAddress: '2001:db8::1', localPort: 40_000, remoteAddress: '::ffff:203.0.113.5', remotePort: 443 }
const start = '0d0a0d0a000d0a515549540a'

// The examples of proxy-protocol.txt, sections 2.1 and 2.2.
test('version 1 is a line of text', () => {
  assert.equal(proxyHeader('v1', four).toString(), 'PROXY TCP4 192.0.2.1 203.0.113.5 40000 443\r\n')
  assert.equal(proxyHeader('v1', six).toString(), 'PROXY TCP6 2001:db8::1 ::ffff:203.0.113.5 40000 443\r\n')
  assert.equal(proxyHeader('v1', {}).toString(), 'PROXY UNKNOWN\r\n')
})

test('version 2 is binary', () => {
  assert.equal(proxyHeader('v2', four).toString('hex'), `${start}2111000cc0000201cb0071059c4001bb`)
  assert.equal(
    proxyHeader('v2', six).toString('hex'),
    `${start}2121002420010db800000000000000000000000100000000000000000000ffffcb0071059c4001bb`,
  )
  assert.equal(proxyHeader('v2', {}).toString('hex'), `${start}20000000`)
})
