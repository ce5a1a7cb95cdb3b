import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createECDH, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer } from 'node:net'
import { join } from 'node:path'
import { before, describe, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { handshake } from '../../../src/observe/handshake.ts'
import { startClient } from '../../../src/observe/tls/client.ts'
import type { Wanted } from '../../../src/observe/tls/client-hello.ts'
import type { FlawKind } from '../../../src/observe/tls/flaw.ts'
import { type Authority, createAuthority, type Sold } from '../../authority.ts'
import { makeDirectory } from '../../real/running.ts'
import { type Forger, type Forgery, makeForger, message, sized } from './forger.ts'

const name = 'www.lab.example'
const both = ['answer13', 'answer12'] as const
type Answer = (typeof both)[number]

let authority: Authority
let sold: Sold
let forger: Forger
before(async () => {
  authority = await createAuthority()
  sold = await authority.sell({ names: [name] })
  forger = makeForger(sold)
})

const openssl = (...words: string[]) => execFileSync('openssl', words, { stdio: ['ignore', 'pipe', 'pipe'] })

function generator(curve: string): Buffer {
  const one = createECDH(curve)
  one.setPrivateKey(Buffer.of(1))
  return one.getPublicKey()
}

const record = (type: number, body: Buffer) => Buffer.concat([Buffer.from([type, 3, 3]), sized(2, body)])
const extension = (type: number, body: Buffer) => Buffer.concat([Buffer.from([0, type]), sized(2, body)])
const nothing = Buffer.alloc(0)

interface Look extends Forgery {
  readonly wanted?: Wanted
  /** What comes before the answer, and behind its first record. */
  readonly first?: Buffer
  readonly second?: Buffer
  readonly by?: Forger
}

function look(answer: Answer, { wanted = { name }, first = nothing, second = nothing, by = forger, ...forgery }: Look) {
  const client = startClient(wanted)
  const bytes = by[answer](client.hello, forgery)
  const end = 5 + bytes.readUInt16BE(3)
  return client.receive(Buffer.concat([first, bytes.subarray(0, end), second, bytes.subarray(end)])).seen
}

function refused(answer: Answer, forgery: Look, kind: FlawKind, told: RegExp): void {
  assert.throws(() => look(answer, forgery), { name: 'TlsFlaw', kind, message: told })
}

function taken(answer: Answer, forgery: Look): void {
  assert.equal(look(answer, forgery)?.fingerprint, sold.fingerprint)
}

/** Changes one message, by its type. */
const changing = (type: number, change: (each: Buffer) => Buffer): Forgery => ({
  change: (each) => (each[0] === type ? change(each) : each),
})

describe('what a server may say beside its answer', () => {
  test('a HelloRequest before the end of a handshake says nothing (RFC 5246 section 7.4.1.1)', () => {
    for (const answer of both) taken(answer, { first: record(22, message(0)) })
    const before = changing(11, (each) => Buffer.concat([message(0), each]))
    taken('answer12', before)
    refused('answer13', before, 'malformed', /type 0 came in place of the Certificate/)
    refused(
      'answer12',
      changing(11, (each) => Buffer.concat([message(0, Buffer.of(1)), each])),
      'malformed',
      /type 0/,
    )
  })

  test('a warning that it does not know the name, but in TLS 1.3 not behind its hello', () => {
    const warning = record(21, Buffer.from([1, 112]))
    for (const answer of both) taken(answer, { first: warning })
    taken('answer12', { second: warning })
    refused('answer13', { second: warning }, 'alert', /unrecognized_name/)
    refused('answer13', { aside: { type: 21, content: Buffer.from([1, 112]) } }, 'alert', /unrecognized_name/)
  })

  test('with another warning, node:tls is asked; not with the end of the connection', async () => {
    const warning = (description: number) => ({ first: record(21, Buffer.from([1, description])) })
    for (const answer of both) {
      assert.throws(() => look(answer, warning(90)), { kind: 'alert', message: /warning user/, mayGetFurther: true })
      assert.throws(() => look(answer, warning(0)), { kind: 'alert', message: /close_notify/, mayGetFurther: false })
    }
    const real = createTlsServer({ key: sold.keyPem, cert: sold.leafPem, maxVersion: 'TLSv1.2' })
      .on('tlsClientError', () => {})
      .listen(0, '127.0.0.1')
    const warner = createServer((near) => {
      const far = connect((real.address() as AddressInfo).port, '127.0.0.1')
      near.on('error', () => {}).on('close', () => far.destroy())
      near.write(warning(90).first)
      far.on('error', () => {})
      near.pipe(far).pipe(near)
    }).listen(0, '127.0.0.1')
    await Promise.all([once(real, 'listening'), once(warner, 'listening')])
    try {
      const { port } = warner.address() as AddressInfo
      const seen = await handshake({ address: '127.0.0.1', port, name }, { timeoutMs: 5_000 })
      assert.deepEqual([seen.chain[0], seen.way], [sold.fingerprint, 'node-tls'])
      assert.match(seen.wayReason ?? '', /the warning user_canceled/)
    } finally {
      for (const server of [real, warner]) server.close()
    }
  })

  test('padding, as long as a record may be (RFC 8446 section 5.2)', () => {
    taken('answer13', { paddingBytes: 1_000 })
    // Of EncryptedExtensions: 6 bytes, and the type behind them.
    refused('answer13', { paddingBytes: 16_384 }, 'malformed', /an encrypted record of 16391 bytes/)
  })

  test('its name, where it was asked for one, and nothing with it', () => {
    for (const answer of both) {
      taken(answer, { extensions: extension(0, nothing) })
      refused(answer, { wanted: {}, extensions: extension(0, nothing) }, 'malformed', /extension 0, which was not off/)
      refused(answer, { extensions: extension(0, Buffer.from('name')) }, 'malformed', /something in the extension 0/)
      // Some balancers say it in TLS 1.2 too.
      taken(answer, { extensions: extension(10, Buffer.from([0, 2, 0, 23])) })
    }
    for (const type of [5, 23]) {
      taken('answer12', { extensions: extension(type, nothing) })
      refused('answer12', { extensions: extension(type, Buffer.of(1)) }, 'malformed', /something in the extension/)
    }
  })
})

describe('records', () => {
  const warning = Buffer.from([1, 112])

  test('a change_cipher_spec means nothing; but it is of one byte, and not encrypted (RFC 8446 section 5)', () => {
    taken('answer13', { second: record(20, Buffer.of(1)) })
    refused('answer13', { second: record(20, Buffer.of(2)) }, 'malformed', /a damaged change_cipher_spec/)
    refused('answer13', { second: record(20, Buffer.of(1, 1)) }, 'malformed', /a damaged change_cipher_spec/)
    refused('answer13', { aside: { type: 20, content: Buffer.of(1) } }, 'malformed', /record of type 20/)
  })

  test('no other one inside of a message, no message in clear where it is encrypted, no two alerts in one', () => {
    const half = record(22, message(2, Buffer.alloc(40)).subarray(0, 10))
    refused('answer13', { first: Buffer.concat([half, record(21, warning)]) }, 'malformed', /inside of a handshake/)
    refused('answer13', { second: record(22, message(8, Buffer.alloc(2))) }, 'malformed', /that is not encrypted/)
    const two = record(21, Buffer.concat([warning, warning]))
    for (const answer of both) refused(answer, { first: two }, 'malformed', /an alert of a wrong length/)
  })
})

describe('what was not offered, or not announced', () => {
  const setting = (type: number, at: number, ...bytes: number[]) =>
    changing(type, (each) => {
      each.set(bytes, at)
      return each
    })
  const suiteAt = 39

  test('a suite, or a signature, of another kind of key', async () => {
    const wanted = { name, keyKind: 'rsa' } as const
    refused('answer12', { wanted }, 'malformed', /TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, which was not offered/)
    refused('answer13', { wanted }, 'malformed', /the scheme 0x403, which was not offered/)
    refused(
      'answer12',
      setting(2, suiteAt, 0xc0, 0x2f),
      'malformed',
      /ECDHE_RSA_.*, and its certificate has a key for ec/,
    )
  })

  test('a curve of its own, and no parameters at all', () => {
    refused('answer12', setting(12, 4, 1), 'unsupported', /a curve of its own/)
    const empty = message(12, Buffer.alloc(6))
    const change = (each: Buffer) => {
      if (each[0] === 2) each.set([0, 0x9e], suiteAt)
      return each[0] === 12 ? empty : each
    }
    refused('answer12', { change }, 'malformed', /empty parameters of DHE/)
  })

  test('the status of a certificate, and more than one application protocol', () => {
    const status = message(22, Buffer.of(1), sized(3, Buffer.from('response')))
    const told = changing(11, (each) => Buffer.concat([each, status]))
    refused('answer12', told, 'malformed', /type 22 came in place of the ServerKeyExchange/)
    assert.equal(look('answer12', { ...told, extensions: extension(5, nothing) })?.ocspStaple, true)
    const alpn = ['h2', 'http/1.1']
    const list = (protocols: readonly string[]) =>
      extension(16, sized(2, Buffer.concat(protocols.map((each) => sized(1, Buffer.from(each))))))
    for (const answer of both) {
      assert.equal(look(answer, { wanted: { name, alpn }, extensions: list(['h2']) })?.alpn, 'h2')
      refused(answer, { wanted: { name, alpn }, extensions: list(alpn) }, 'malformed', /bytes too many/)
    }
  })

  test('the context of a request for a certificate', () => {
    const context = changing(11, (each) => message(11, sized(1, Buffer.of(7)), each.subarray(5)))
    refused('answer13', context, 'malformed', /a request that nobody made/)
  })
})

test('an RSA key signs as RFC 8446 section 4.2.3 has it: PSS, and a salt as long as the hash', async () => {
  const rsa = await authority.sell({ names: [name], rsaBits: 2048 })
  const by = makeForger(rsa)
  assert.equal(look('answer13', { by })?.fingerprint, rsa.fingerprint)
  refused('answer13', { by, saltBytes: 20 }, 'unproven', /rsa_pss_rsae_sha256/)
  const pkcs1 = changing(15, (each) => {
    each.set([4, 1], 4)
    return each
  })
  refused('answer13', { by, ...pkcs1 }, 'malformed', /rsa_pkcs1_sha256, which TLS 1.3 does not allow/)
})

test('TLS 1.2: a share of the server that is none of its group', () => {
  const share = (length: number, first: number) =>
    changing(12, (each) => {
      each[7] = length
      each[8] = first
      return each
    })
  taken('answer12', share(65, 4))
  // Compressed (RFC 8422 section 5.4.1), and of another curve. What is signed is cut there too.
  for (const [length, first] of [
    [65, 3],
    [33, 4],
  ] as const)
    refused('answer12', share(length, first), 'malformed', /no point of P-256/)
})

test('no record goes on where the keys change (RFC 8446 section 5.1)', () => {
  for (const type of [2, 20])
    refused(
      'answer13',
      changing(type, (each) => Buffer.concat([each, message(4)])),
      'malformed',
      /change of keys/,
    )
})

describe('a certificate', () => {
  describe('whose key is on a curve that was not offered, in TLS 1.2', () => {
    const sellOn = async (key: (file: string) => string): Promise<Forger> => {
      const directory = await makeDirectory('curve')
      try {
        const file = join(directory, 'key.pem')
        const keyPem = key(file)
        await writeFile(file, keyPem)
        const leafPem = openssl('req', '-x509', '-key', file, '-subj', `/CN=${name}`)
        return makeForger({ ...sold, leafPem: leafPem.toString(), keyPem })
      } finally {
        await rm(directory, { recursive: true })
      }
    }
    const ofCurve = (...options: string[]) => openssl('ecparam', '-genkey', '-noout', ...options)

    test('secp256k1', async () => {
      const by = await sellOn(() => ofCurve('-name', 'secp256k1').toString())
      refused('answer12', { by }, 'malformed', /on secp256k1, which was not offered/)
    })

    test('P-256 with a base point of its own: then anybody has the key of any certificate', async () => {
      const by = await sellOn(() => {
        const der = ofCurve('-name', 'prime256v1', '-param_enc', 'explicit', '-outform', 'DER')
        // The private key is 1: the base point is the public key.
        const one = Buffer.concat([Buffer.alloc(31), Buffer.of(1)])
        one.copy(der, der.indexOf(Buffer.from([4, 32])) + 2)
        const base = der.indexOf(generator('prime256v1'))
        der.copy(der, base, der.length - 65)
        return `-----BEGIN EC PRIVATE KEY-----\n${der.toString('base64')}\n-----END EC PRIVATE KEY-----\n`
      })
      refused('answer12', { by }, 'malformed', /on a curve of its own, which was not offered/)
    })
  })

  test('that is no whole DER, in front or behind', () => {
    for (const damaged of [[0x30, 2, 0], [0x30, 0x82, 0, 5, 0], [0x30, 0x80, 0, 0], [0x31, 0], [0x30]])
      for (const answer of both)
        refused(answer, { chain: [leaf(), Buffer.from(damaged)] }, 'malformed', /a certificate that is not DER/)
  })

  const leaf = () => new X509Certificate(sold.leafPem).raw

  test('whose end is no date', () => {
    const der = leaf()
    const notAfter = der.lastIndexOf(Buffer.from([0x17, 13]))
    der.write('2613', notAfter + 2, 'latin1')
    for (const answer of both) refused(answer, { chain: [der] }, 'malformed', /whose end is no date/)
  })

  test('that OpenSSL reads as other bytes than were sent: its fingerprint would be another one', () => {
    const der = leaf()
    // The signature ends it: a BIT STRING, of which one bit is said to be none (X.690 section 11.2.1).
    const lengths = Array.from({ length: 12 }, (_, more) => 65 + more)
    const length = lengths.find((each) => der.subarray(-each - 2).readUInt16BE(0) === 0x0300 + each)
    assert.ok(length)
    der[der.length - length] = 1
    der[der.length - 1] = (der.at(-1) ?? 0) | 1
    for (const answer of both) refused(answer, { chain: [der] }, 'malformed', /read as another one/)
  })
})
