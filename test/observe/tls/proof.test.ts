import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { before, describe, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { handshake } from '../../../src/observe/handshake.ts'
import { startClient } from '../../../src/observe/tls/client.ts'
import type { FlawKind } from '../../../src/observe/tls/flaw.ts'
import { type Authority, createAuthority, type Sold } from '../../authority.ts'
import { type Forger, type Forgery, makeForger, message, sized } from './forger.ts'

const name = 'www.lab.example'

let authority: Authority
let sold: Sold
let other: Sold
let forger: Forger
before(async () => {
  authority = await createAuthority()
  sold = await authority.sell({ names: [name] })
  other = await authority.sell({ names: [name] })
  forger = makeForger(sold)
})

const versions = [
  ['TLS 1.3', 'answer13'],
  ['TLS 1.2', 'answer12'],
] as const

function look(answer: (typeof versions)[number][1], forgery?: Forgery) {
  const client = startClient({ name })
  return client.receive(forger[answer](client.hello, forgery)).seen
}

function refused(answer: (typeof versions)[number][1], forgery: Forgery, kind: FlawKind, told: RegExp): void {
  assert.throws(() => look(answer, forgery), { name: 'TlsFlaw', kind, message: told })
}

for (const [version, answer] of versions) {
  describe(`${version}: a certificate without its key proves nothing`, () => {
    test('a right answer is taken: what follows fails for its one defect', () => {
      const seen = look(answer)
      assert.equal(seen?.fingerprint, sold.fingerprint)
      assert.equal(seen?.version, version.replace(' ', 'v'))
    })

    test('the signature of another key', () => {
      refused(answer, { keyPem: other.keyPem }, 'unproven', /not that of its certificate's key/)
    })

    test('the signature of the right key, over the hello of another client', () => {
      const signedHello = startClient({ name }).hello.subarray(5)
      refused(answer, { signedHello }, 'unproven', /over this handshake/)
    })

    test('no signature at all', () => {
      refused(answer, { unsigned: true }, 'malformed', /CertificateVerify|ServerKeyExchange/)
    })

    test('a signature of another kind of key than the certificate has', async () => {
      const rsa = await authority.sell({ names: [name], rsaBits: 2048 })
      refused(answer, { keyPem: rsa.keyPem }, 'malformed', /rsa_pss_rsae_sha256, and its certificate has a key for ec/)
    })

    test('no certificate', () => {
      refused(answer, { chain: [] }, 'malformed', /no certificate/)
    })
  })
}

describe('what else a signature does not cover, or covers in vain', () => {
  test('TLS 1.3: a Finished that belongs to another handshake, and none', () => {
    refused('answer13', { finished: 'wrong' }, 'unproven', /Finished/)
    assert.equal(look('answer13', { finished: 'missing' }), null, 'it goes on waiting')
  })

  test('TLS 1.2 from a server that says it can do more: somebody has taken TLS 1.3 out of the offer', () => {
    for (const randomEnd of ['DOWNGRD\x01', 'DOWNGRD\x00'])
      refused('answer12', { randomEnd }, 'unproven', /TLS 1\.3, and TLS 1\.2 was chosen/)
  })

  test('TLS 1.3: the session id of somebody else', () => {
    refused('answer13', { sessionId: Buffer.alloc(32) }, 'malformed', /another session id/)
  })

  test('TLS 1.3: PKCS#1 signs no handshake, and no curve stands for another', () => {
    const scheme = (high: number, low: number) => ({
      change: (each: Buffer) => {
        if (each[0] === 15) each.set([high, low], 4)
        return each
      },
    })
    refused('answer13', scheme(4, 1), 'malformed', /key for ec/)
    refused('answer13', scheme(5, 3), 'malformed', /ecdsa_secp384r1_sha384, and its key is on prime256v1/)
    refused('answer13', scheme(2, 3), 'malformed', /not offered/)
  })

  test('extensions that nobody offered, or twice, or an application protocol of its own', () => {
    const extension = (type: number, body: Buffer) => Buffer.concat([Buffer.from([type >> 8, type]), sized(2, body)])
    const list = sized(2, sized(1, Buffer.from('h9')))
    for (const answer of ['answer13', 'answer12'] as const) {
      refused(answer, { extensions: extension(0x1234, Buffer.alloc(0)) }, 'malformed', /not offered/)
      const twice = Buffer.concat([extension(0, Buffer.alloc(0)), extension(0, Buffer.alloc(0))])
      refused(answer, { extensions: twice }, 'malformed', /twice/)
      refused(answer, { extensions: extension(16, list) }, 'malformed', /application protocol/)
    }
  })

  test('TLS 1.2: a first handshake that is said to be another one', () => {
    const renegotiation = (body: Buffer) => Buffer.concat([Buffer.from([0xff, 1]), sized(2, sized(1, body))])
    assert.ok(look('answer12', { extensions: renegotiation(Buffer.alloc(0)) }))
    refused('answer12', { extensions: renegotiation(Buffer.alloc(12)) }, 'malformed', /renegotiates/)
  })

  test('a message in another place', () => {
    const second = (type: number) => ({
      change: (each: Buffer) => (each[0] === 11 ? message(type, each.subarray(4)) : each),
    })
    for (const answer of ['answer13', 'answer12'] as const) refused(answer, second(12), 'malformed', /type 12 came/)
  })
})

describe('a handshake that is played again', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`${version}: the very bytes of a real server, to the next client`, async () => {
      const settings = { key: sold.keyPem, cert: sold.leafPem, maxVersion: version, minVersion: version }
      const real = createTlsServer(settings)
        .on('tlsClientError', () => {})
        .listen(0, '127.0.0.1')
      await once(real, 'listening')
      const recorded: Buffer[] = []
      const recorder = createServer((near) => {
        const far = connect((real.address() as AddressInfo).port, '127.0.0.1')
        near.on('error', () => {}).on('close', () => far.destroy())
        far.on('error', () => {}).on('data', (piece) => recorded.push(piece))
        near.pipe(far).pipe(near)
      }).listen(0, '127.0.0.1')
      await once(recorder, 'listening')
      const player = createServer((near) => {
        near.on('error', () => {}).once('data', () => near.end(Buffer.concat(recorded)))
      }).listen(0, '127.0.0.1')
      await once(player, 'listening')
      const at = (server: typeof player) =>
        handshake({ address: '127.0.0.1', port: (server.address() as AddressInfo).port, name }, { timeoutMs: 5_000 })
      try {
        assert.equal((await at(recorder)).chain[0], sold.fingerprint)
        for (let round = 0; round < 20; round++) await assert.rejects(at(player), { name: 'OnecertError' })
      } finally {
        for (const server of [real, recorder, player]) server.close()
      }
    })
  }
})
