import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { describe, test } from 'node:test'
import { createServer as createTlsServer, type TlsOptions } from 'node:tls'
import { OnecertError } from '../../src/base/errors.ts'
import { handshake } from '../../src/observe/handshake.ts'
import { createAuthority } from '../authority.ts'

const name = 'www.lab.example'

async function served(options: TlsOptions, look: (port: number) => Promise<void>): Promise<void> {
  await listening(
    createTlsServer(options, (socket) => socket.on('error', () => {})),
    look,
  )
}

async function listening(server: Server, look: (port: number) => Promise<void>): Promise<void> {
  server.on('tlsClientError', () => {}).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await look((server.address() as AddressInfo).port)
  } finally {
    server.close()
  }
}

const at = (port: number, timeoutMs = 2_000) => handshake({ address: '127.0.0.1', port, name }, { timeoutMs })

/** Of a ClientHello record, in their order. */
function extensionTypes(record: Buffer): number[] {
  let at = 5 + 4 + 2 + 32
  at += 1 + record.readUInt8(at)
  at += 2 + record.readUInt16BE(at)
  at += 1 + record.readUInt8(at) + 2
  const types: number[] = []
  for (; at < record.length; at += 4 + record.readUInt16BE(at + 2)) types.push(record.readUInt16BE(at))
  return types
}

async function refused(looking: Promise<unknown>, code: string): Promise<OnecertError> {
  const error = await looking.then(
    () => assert.fail('no refusal'),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof OnecertError)
  assert.equal(error.code, code)
  return error
}

describe('a handshake shows what is served, and no more', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`${version}: leaf and intermediate, as they came`, async () => {
      const authority = await createAuthority()
      const { leafPem, keyPem, fingerprint } = await authority.sell({ names: [name] })
      const cert = leafPem + authority.intermediatePem
      await served({ key: keyPem, cert, minVersion: version, maxVersion: version }, async (port) => {
        const { chain, subject, notAfterMs } = await at(port)
        assert.equal(chain[0], fingerprint)
        assert.equal(chain.length, 2)
        assert.equal(subject, name)
        assert.ok(notAfterMs > Date.now())
      })
    })
  }

  for (const ecdhCurve of ['X25519', 'prime256v1', 'secp384r1', 'secp521r1', 'X448', 'X25519MLKEM768']) {
    test(`a server that takes no key exchange but ${ecdhCurve} is looked at all the same`, async () => {
      const authority = await createAuthority()
      const { leafPem, keyPem, fingerprint } = await authority.sell({ names: [name] })
      await served({ key: keyPem, cert: leafPem, ecdhCurve }, async (port) => {
        assert.equal((await at(port)).chain[0], fingerprint)
      })
    })
  }

  test('a leaf alone is a chain of one', async () => {
    const authority = await createAuthority()
    const { leafPem, keyPem } = await authority.sell({ names: [name] })
    await served({ key: keyPem, cert: leafPem }, async (port) => {
      assert.equal((await at(port)).chain.length, 1)
    })
  })

  test('each is a full one: no session is named, and no hello is like another, so the key is proved each time', async () => {
    const hellos: Buffer[] = []
    const listener = createServer((socket) => {
      socket
        .on('error', () => {})
        .once('data', (hello) => {
          hellos.push(hello)
          socket.end('no')
        })
    })
    await listening(listener, async (port) => {
      for (let round = 0; round < 2; round++) await refused(at(port), 'PROBE_NOT_TLS')
    })
    const [first, second] = hellos.map((hello) => hello.subarray(11, 43).toString('hex'))
    assert.notEqual(first, second)
    for (const hello of hellos) {
      const types = extensionTypes(hello)
      assert.ok(types.includes(51), 'a key share')
      // RFC 5077 (session tickets) and RFC 8446 section 4.2.11 (pre-shared keys).
      assert.ok(!types.includes(35) && !types.includes(41), `${types}`)
    }
  })

  test('the name is what the server is asked for; a wildcard is asked for by a name that it covers', async () => {
    const authority = await createAuthority()
    const { leafPem, keyPem } = await authority.sell({ names: [name] })
    const asked: string[] = []
    const server = createTlsServer({
      key: keyPem,
      cert: leafPem,
      SNICallback(asks, done) {
        asked.push(asks)
        done(null)
      },
    })
    await listening(server, async (port) => {
      await at(port)
      await handshake({ address: '127.0.0.1', port, name: '*.lab.example' }, { timeoutMs: 2_000 })
    })
    assert.equal(asked[0], name)
    assert.match(asked[1] ?? '', /^[a-z0-9-]+\.lab\.example$/)
  })
})

describe('what keeps a handshake from being made has a code each', () => {
  test('nothing listens', () => refused(at(1), 'PROBE_REFUSED').then(() => {}))

  test('something else than TLS', async () => {
    const plain = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'))
    await listening(plain, async (port) => void (await refused(at(port), 'PROBE_NOT_TLS')))
  })

  test('silence ends at the deadline', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}))
    await listening(silent, async (port) => {
      const error = await refused(at(port, 300), 'PROBE_TIMEOUT')
      assert.match(error.failure.fact ?? '', /after (2[5-9]\d|[3-9]\d\d) ms/)
    })
  })

  test('a connection that is closed in the middle', async () => {
    const closing = createServer((socket) => socket.on('error', () => {}).once('data', () => socket.destroy()))
    await listening(closing, async (port) => void (await refused(at(port), 'PROBE_FAILED')))
  })

  test('an interruption ends it at once', async () => {
    const silent = createServer((socket) => socket.on('error', () => {}))
    await listening(silent, async (port) => {
      const signal = AbortSignal.timeout(100)
      const looking = handshake({ address: '127.0.0.1', port, name }, { timeoutMs: 60_000, signal })
      await assert.rejects(looking, (error) => error === signal.reason)
    })
  })
})
