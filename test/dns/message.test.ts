import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { test } from 'node:test'
import { encode } from 'dns-packet'
import fc from 'fast-check'
import { OnecertError } from '../../src/base/errors.ts'
import { Secret } from '../../src/base/secret.ts'
import { ancestors, decodeAnswer, encodeName, encodeQuery, type Query, sameName } from '../../src/dns/message.ts'
import { signMessage, type TsigKey, verifyMessage } from '../../src/dns/tsig.ts'
import { refusalOf } from '../base/refusals.ts'

const query: Query = { id: 4711, name: '_acme-challenge.domain.example', type: 'TXT', recursive: false }
const key: TsigKey = { name: 'onecert', algorithm: 'hmac-sha256', secret: new Secret(Buffer.alloc(32, 'k')) }
const nowMs = 1_798_761_600_000

function response(change: { id?: number; name?: string; flags?: number } = {}): Buffer {
  const name = change.name ?? query.name
  return encode({
    id: change.id ?? query.id,
    type: 'response',
    flags: change.flags ?? 0x0400,
    questions: [{ name, type: 'TXT' }],
    answers: [
      { name, type: 'TXT', data: ['one'] },
      { name, type: 'CAA', data: { flags: 0, tag: 'issue', value: 'authority.example' } },
    ],
    authorities: [{ name: 'domain.example', type: 'NS', data: 'ns1.domain.example' }],
    additionals: [{ name: 'ns1.domain.example', type: 'A', data: '192.0.2.1' }],
  })
}

test('an answer counts where its ID and its question are ours, without case', () => {
  assert.equal(decodeAnswer(response(), query, 'ns')?.answers.length, 2)
  assert.ok(decodeAnswer(response({ name: '_ACME-challenge.Domain.example' }), query, 'ns'))
  assert.equal(decodeAnswer(response({ id: 4712 }), query, 'ns'), null)
  assert.equal(decodeAnswer(response({ name: 'other.domain.example' }), query, 'ns'), null)
  assert.equal(decodeAnswer(encodeQuery(query), query, 'ns'), null)
})

test('whatever comes from the network is an answer, nothing of ours, or DNS_ANSWER_BAD', () => {
  const whole = response()
  const bytes = fc.oneof(
    fc.uint8Array({ maxLength: 600 }),
    fc.nat(whole.length).map((length) => whole.subarray(0, length)),
    fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { maxLength: 8 }).map((changes) => {
      const changed = Buffer.from(whole)
      for (const [at, value] of changes) changed[at] = value
      return changed
    }),
  )
  fc.assert(
    fc.property(bytes, (given) => {
      const received = Buffer.from(given)
      // The header stays ours, so that the rest is looked at.
      whole.copy(received, 0, 0, Math.min(3, received.length))
      try {
        decodeAnswer(received, query, 'ns')
      } catch (error) {
        assert.ok(error instanceof OnecertError && error.code === 'DNS_ANSWER_BAD', String(error))
      }
      const verdict = verifyMessage(received, key, { requestMac: Buffer.alloc(32), nowMs })
      assert.ok(verdict.kind !== 'good' && verdict.kind !== 'clock')
    }),
    { numRuns: 2000 },
  )
})

/** As a server signs it (RFC 8945 section 4.3), written apart from our own signing. */
function signedResponse(requestMac: Buffer, timeMs = nowMs): Buffer {
  const message = response()
  const { bytes } = signMessage(message, key, { nowMs: timeMs })
  const macAt = bytes.length - 6 - 32
  const name = Buffer.from('\x07onecert\x00', 'latin1')
  const algorithm = Buffer.from('\x0bhmac-sha256\x00', 'latin1')
  const timeAndFudge = bytes.subarray(macAt - 10, macAt - 2)
  const classAndTtl = Buffer.from('00ff00000000', 'hex')
  const nothingElse = Buffer.alloc(4)
  createHmac('sha256', key.secret.reveal())
    .update(Buffer.of(0, requestMac.length))
    .update(requestMac)
    .update(Buffer.concat([message, name, classAndTtl, algorithm, timeAndFudge, nothingElse]))
    .digest()
    .copy(bytes, macAt)
  return bytes
}

test('a signed response is good for its request alone, and for 5 minutes', () => {
  const requestMac = Buffer.alloc(32, 'm')
  const judge = (bytes: Buffer, mac = requestMac) => verifyMessage(bytes, key, { requestMac: mac, nowMs })
  assert.deepEqual(judge(signedResponse(requestMac)), { kind: 'good' })
  assert.equal(judge(signedResponse(requestMac), Buffer.alloc(32, 'n')).kind, 'bad')
  assert.equal(judge(signedResponse(requestMac, nowMs - 300_000)).kind, 'good')
  for (const apartMs of [-301_000, 301_000]) {
    assert.deepEqual(judge(signedResponse(requestMac, nowMs + apartMs)), {
      kind: 'bad',
      reason: 'it was signed 301 s away from our clock',
    })
  }
  for (const other of [
    { ...key, name: 'other' },
    { ...key, algorithm: 'hmac-sha512' as const },
    { ...key, secret: new Secret(Buffer.alloc(32, 'x')) },
  ]) {
    assert.equal(verifyMessage(signedResponse(requestMac), other, { requestMac, nowMs }).kind, 'bad')
  }
})

test('no bit of a signed response can be changed', () => {
  const requestMac = Buffer.alloc(32, 'm')
  const whole = signedResponse(requestMac)
  const plain = (bytes: Buffer) => bytes.toString('latin1').toLowerCase()
  // The ID is compared with that of the request, and the record has the one that was signed.
  for (let bit = 16; bit < whole.length * 8; bit++) {
    const changed = Buffer.from(whole)
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    const { kind } = verifyMessage(changed, key, { requestMac, nowMs })
    // Upper and lower case of the key's name are the same.
    assert.ok(kind !== 'good' || plain(changed) === plain(whole), `bit ${bit}`)
  }
})

test('names of the DNS', async () => {
  assert.equal(encodeName('WWW.Domain.example.').toString('latin1'), '\x03www\x06domain\x07example\x00')
  for (const name of ['', 'a..b', `${'a'.repeat(64)}.example`, `${'a.'.repeat(127)}aa`]) {
    assert.equal((await refusalOf(() => encodeName(name))).code, 'NAME_INVALID', name)
  }
  assert.deepEqual(ancestors('a.b.Example.'), ['a.b.example', 'b.example', 'example'])
  assert.ok(sameName('A.example.', 'a.EXAMPLE'))
})
