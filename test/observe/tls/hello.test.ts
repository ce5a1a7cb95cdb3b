import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { startClient } from '../../../src/observe/tls/client.ts'
import type { Wanted } from '../../../src/observe/tls/client-hello.ts'
import { TlsFlaw } from '../../../src/observe/tls/flaw.ts'
import { message, sized } from './forger.ts'

const retryRandom = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex')
const x25519 = Buffer.from([0, 29])
const none = Buffer.alloc(0)

type Extensions = readonly (readonly [type: number, body: Buffer])[]

const retry = (hello: Buffer, extensions: Extensions) =>
  serverHello(hello, [[43, Buffer.from([3, 4])], ...extensions], { random: retryRandom })

interface Choice {
  readonly random?: Buffer
  readonly version?: number
  readonly suite?: number
  readonly compression?: number
  /** Default: that of the hello. */
  readonly sessionId?: Buffer
}

/** As TLS 1.3 has it, where nothing else is said. */
function serverHello(hello: Buffer, all: Extensions, choice: Choice): Buffer {
  const { random = Buffer.alloc(32, 1), version = 0x0303, suite = 0x1301, compression = 0 } = choice
  const written = all.map(([type, body]) => Buffer.concat([Buffer.from([0, type]), sized(2, body)]))
  const chosen = Buffer.from([suite >> 8, suite & 255, compression])
  const body = [
    Buffer.from([version >> 8, version & 255]),
    random,
    sized(1, choice.sessionId ?? hello.subarray(5 + 39, 5 + 39 + 32)),
    chosen,
  ]
  return Buffer.concat([Buffer.from([22, 3, 3]), sized(2, message(2, ...body, sized(2, Buffer.concat(written))))])
}

/** By type. */
function extensionsOf(hello: Buffer): Map<number, Buffer> {
  const found = new Map<number, Buffer>()
  let at = 39 + 32 // its header, version, random, session id
  at += 2 + hello.readUInt16BE(at) + 2 // suites, compression
  assert.equal(hello.readUInt16BE(at), hello.length - at - 2)
  assert.equal(hello.readUIntBE(1, 3), hello.length - 4)
  for (at += 2; at < hello.length; at += 4 + hello.readUInt16BE(at + 2)) {
    assert.ok(!found.has(hello.readUInt16BE(at)))
    found.set(hello.readUInt16BE(at), hello.subarray(at + 4, at + 4 + hello.readUInt16BE(at + 2)))
  }
  return found
}

const wishes: readonly Wanted[] = [undefined, 'a.example', `${'long-label.'.repeat(20)}lab.example`].flatMap((name) =>
  ([undefined, 'ecdsa', 'rsa'] as const).flatMap((keyKind) =>
    [[], ['h2', 'http/1.1']].map((alpn) => ({ name, keyKind, alpn })),
  ),
)

test('every hello is whole, has the name that was wanted, and no length that old balancers swallow', () => {
  for (const wanted of wishes) {
    const { hello } = startClient(wanted)
    assert.deepEqual([hello.readUInt16BE(1), hello.readUInt16BE(3)], [0x0301, hello.length - 5])
    const extensions = extensionsOf(hello.subarray(5))
    assert.equal(extensions.get(0)?.subarray(5).toString(), wanted.name)
    assert.equal(extensions.has(16), wanted.alpn?.length !== 0)
    // RFC 8446 section 4.2.3: where a kind of key is wanted, the CA's may be of another.
    const ofCertificates = extensions.get(50)
    assert.equal(ofCertificates !== undefined, wanted.keyKind !== undefined)
    for (const scheme of ['0403', '0401']) if (ofCertificates) assert.ok(ofCertificates.includes(scheme, 'hex'))
    assert.ok(hello.length - 5 < 256 || hello.length - 5 >= 512, `${hello.length - 5}`)
  }
})

describe('a HelloRetryRequest', () => {
  const answer = (extensions: Extensions) => {
    const client = startClient({ name: 'www.lab.example' })
    return { ...client.receive(retry(client.hello, extensions)), hello: client.hello }
  }

  test('gets the same hello again, with the share that it asks for and the cookie that it gave', () => {
    const cookie = Buffer.alloc(8_192, 7)
    const { send, hello } = answer([
      [51, x25519],
      [44, sized(2, cookie)],
    ])
    assert.ok(send)
    // RFC 8446 section 5.1 and appendix D.4.
    assert.equal(send.subarray(0, 6).toString('hex'), '140303000101')
    assert.equal(send.subarray(6, 9).toString('hex'), '160303')
    const second = send.subarray(11)
    assert.deepEqual(second.subarray(4, 71), hello.subarray(5 + 4, 5 + 71))
    const [before, after] = [extensionsOf(hello.subarray(5)), extensionsOf(second)]
    assert.deepEqual(after.get(44), sized(2, cookie))
    assert.equal(after.get(51)?.subarray(2, 6).toString('hex'), '001d0020')
    const others = (of: Map<number, Buffer>) => [...of].filter(([type]) => ![21, 44, 51].includes(type))
    assert.deepEqual(others(after), others(before))
  })

  const refused: Record<string, readonly [RegExp, ...(readonly [number, Buffer])[]]> = {
    'that asks for nothing': [/asks for what was sent/],
    'that asks for the share that it has': [/asks for what was sent/, [51, Buffer.from([0, 23])]],
    'that asks for a share that we have not': [/key exchange 4588/, [51, Buffer.from([0x11, 0xec])]],
    'with an empty cookie': [/empty cookie/, [51, x25519], [44, sized(2, Buffer.alloc(0))]],
    'with a cookie that fits into no record': [/a cookie of 20000 bytes/, [44, sized(2, Buffer.alloc(20_000))]],
  }
  for (const [what, [told, ...extensions]] of Object.entries(refused)) {
    test(`${what} is for node:tls`, () => {
      const thrown = (error: unknown) => error instanceof TlsFlaw && error.mayGetFurther && told.test(error.message)
      // A cookie of 20,000 bytes comes in two records.
      assert.throws(() => (what.includes('record') ? splitting(extensions) : answer(extensions)), thrown)
    })
  }

  test('binds the server: no second one, no other suite, group or version behind it', () => {
    const share = (group: number, bytes = 32) =>
      Buffer.concat([Buffer.from([0, group]), sized(2, Buffer.alloc(bytes, 9))])
    const newest = [43, Buffer.from([3, 4])] as const
    const after = (all: Extensions, choice: Choice) => {
      const client = startClient({ name: 'www.lab.example' })
      client.receive(retry(client.hello, [[51, x25519]]))
      return () => client.receive(serverHello(client.hello, all, choice))
    }
    assert.deepEqual(after([newest, [51, share(29)]], {})(), { send: null, seen: null })
    const back = { kind: 'malformed', message: /goes back on the HelloRetryRequest/ }
    assert.throws(after([newest, [51, Buffer.from([0, 24])]], { random: retryRandom }), back)
    assert.throws(after([newest, [51, share(29)]], { suite: 0x1303 }), back)
    assert.throws(after([newest, [51, share(30)]], {}), { kind: 'malformed', message: /for which none was sent/ })
    assert.throws(after([newest, [51, share(29, 31)]], {}), { kind: 'malformed', message: /31 bytes for X25519/ })
    assert.throws(after([], { suite: 0xc02b, sessionId: none }), back)
  })

  function splitting(extensions: Extensions) {
    const client = startClient({})
    const whole = retry(client.hello, extensions).subarray(5)
    const records = [whole.subarray(0, 16_000), whole.subarray(16_000)].map((each) =>
      Buffer.concat([Buffer.from([22, 3, 3]), sized(2, each)]),
    )
    return client.receive(Buffer.concat(records))
  }
})

test('a ServerHello that takes what was not offered, of the values that nobody offers (RFC 8701) or others', () => {
  const share = (group: number) =>
    Buffer.concat([Buffer.from([group >> 8, group & 255]), sized(2, Buffer.alloc(65, 4))])
  const right = [[43, Buffer.from([3, 4])] as const, [51, share(23)] as const]
  const told: readonly (readonly [RegExp, Extensions, Choice])[] = [
    [/cipher suite 0x1a1a, which was not/, right, { suite: 0x1a1a }],
    [/cipher suite 0xc02b, which was not/, right, { suite: 0xc02b }],
    [/cipher suite 0x1a1a/, [], { suite: 0x1a1a, sessionId: none }],
    [
      /group 6682, for which none was sent/,
      [
        [43, Buffer.from([3, 4])],
        [51, share(0x1a1a)],
      ],
      {},
    ],
    [
      /group 24, for which none was sent/,
      [
        [43, Buffer.from([3, 4])],
        [51, share(24)],
      ],
      {},
    ],
    [
      /no version that was offered/,
      [
        [43, Buffer.from([0x1a, 0x1a])],
        [51, share(23)],
      ],
      {},
    ],
    [
      /no version that was offered/,
      [
        [43, Buffer.from([3, 3])],
        [51, share(23)],
      ],
      {},
    ],
    [/resumes a session that there never was/, [], { suite: 0xc02b }],
    [/a session id that is too long/, [], { suite: 0xc02b, sessionId: Buffer.alloc(33) }],
    [/the version 0x304/, right, { version: 0x0304 }],
    [/a compression/, right, { compression: 1 }],
    [/extension 26, which was not offered/, [...right, [0x1a, Buffer.of(0)]], {}],
    [/extension 41, which was not offered/, [...right, [41, Buffer.from([0, 0])]], {}],
    [/has no key share/, [[43, Buffer.from([3, 4])]], {}],
  ]
  for (const [message, extensions, choice] of told) {
    const client = startClient({ name: 'www.lab.example' })
    const answer = serverHello(client.hello, extensions, choice)
    assert.throws(() => client.receive(answer), { name: 'TlsFlaw', message, mayGetFurther: true })
  }
  const client = startClient({ name: 'www.lab.example' })
  assert.deepEqual(client.receive(serverHello(client.hello, right, {})), { send: null, seen: null })
})
