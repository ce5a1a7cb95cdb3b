import assert from 'node:assert/strict'
import { createHash, createPublicKey } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { after, before, test } from 'node:test'
import { createServer as createTlsServer } from 'node:tls'
import { OnecertError } from '../../../src/base/errors.ts'
import { handshake } from '../../../src/observe/handshake.ts'
import { startClient } from '../../../src/observe/tls/client.ts'
import { TlsFlaw } from '../../../src/observe/tls/flaw.ts'
import { createAuthority, type Sold } from '../../authority.ts'
import { type Forger, makeForger } from './forger.ts'

const name = 'www.lab.example'
const seed = Number(process.env.FUZZ_SEED ?? Date.now() % 1_000_000)

/** The same numbers for the same seed (mulberry32). */
function randomFrom(start: number): (below: number) => number {
  let state = start
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below
  }
}

type Random = ReturnType<typeof randomFrom>

/** One change, where it does the most: anywhere, and in the first bytes, where the lengths are. */
function mutate(bytes: Buffer, random: Random): Buffer {
  const changed = Buffer.from(bytes)
  const at = random(random(2) ? bytes.length : Math.min(bytes.length, 64))
  switch (random(6)) {
    case 0:
      changed[at] = (changed[at] ?? 0) ^ (1 << random(8))
      return changed
    case 1:
      changed[at] = [0, 1, 127, 128, 255][random(5)] ?? 0
      return changed
    case 2:
      return changed.subarray(0, at)
    case 3:
      return Buffer.concat([changed.subarray(0, at), changed.subarray(at + 1 + random(8))])
    case 4:
      return Buffer.concat([changed.subarray(0, at), Buffer.alloc(1 + random(8), random(256)), changed.subarray(at)])
    default:
      return Buffer.concat([changed.subarray(0, at), changed.subarray(random(at + 1))])
  }
}

function recordsOf(bytes: Buffer): Buffer[] {
  const records: Buffer[] = []
  for (let at = 0; at + 5 <= bytes.length; at += 5 + bytes.readUInt16BE(at + 3))
    records.push(bytes.subarray(at, at + 5 + bytes.readUInt16BE(at + 3)))
  return records
}

/** Duplicated, left out, or in another order. */
function shuffle(bytes: Buffer, random: Random): Buffer {
  const records = recordsOf(bytes)
  const [from, to] = [random(records.length), random(records.length)]
  const one = records[from] ?? Buffer.alloc(0)
  const kind = random(3)
  if (kind > 0) records.splice(from, 1)
  if (kind < 2) records.splice(to, 0, one)
  return Buffer.concat(records)
}

/** The same bytes in other records: handshake messages may be cut anywhere. */
function recut(bytes: Buffer, random: Random): Buffer {
  return Buffer.concat(
    recordsOf(bytes).flatMap((each) => {
      if (each[0] !== 22 || each.length < 7) return [each]
      const cut = 6 + random(each.length - 6)
      return [each.subarray(5, cut), each.subarray(cut)].map((part) =>
        Buffer.concat([Buffer.from([22, 3, 3, part.length >> 8, part.length & 255]), part]),
      )
    }),
  )
}

let sold: Sold
let forger: Forger
let spki: string
/** Answers of node:tls to hellos of ours, by version. */
const recorded: Buffer[] = []

before(async () => {
  sold = await (await createAuthority()).sell({ names: [name] })
  forger = makeForger(sold)
  const der = createPublicKey(sold.keyPem).export({ type: 'spki', format: 'der' })
  spki = createHash('sha256').update(der).digest('hex')
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const settings = { key: sold.keyPem, cert: sold.leafPem, minVersion: version, maxVersion: version }
    const server = createTlsServer(settings)
      .on('tlsClientError', () => {})
      .listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
    socket.write(startClient({ name }).hello)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    recorded.push(answer)
    socket.destroy()
    server.close()
  }
})

const unhandled: unknown[] = []
const note = (error: unknown) => unhandled.push(error)
before(() => void process.on('unhandledRejection', note))
after(() => {
  process.off('unhandledRejection', note)
  assert.deepEqual(unhandled, [])
})

/** How an answer comes about, beside the hello that it answers. */
const ways: Readonly<Record<string, (hello: Buffer, random: Random) => Buffer>> = {
  'TLS 1.3, changed on the wire': (hello, random) => mutate(forger.answer13(hello), random),
  'TLS 1.3, changed before it is hashed, signed and encrypted': (hello, random) => {
    const which = random(5)
    let at = 0
    return forger.answer13(hello, { change: (each) => (at++ === which ? mutate(each, random) : each) })
  },
  'TLS 1.3, records in another order': (hello, random) => shuffle(forger.answer13(hello), random),
  'TLS 1.2, changed': (hello, random) => mutate(forger.answer12(hello), random),
  'TLS 1.2, records in another order': (hello, random) => shuffle(forger.answer12(hello), random),
  'TLS 1.2, cut into other records, and changed': (hello, random) =>
    mutate(recut(forger.answer12(hello), random), random),
  'of a real server to another client, changed': (_, random) => mutate(recorded[random(2)] ?? Buffer.alloc(0), random),
}

const rounds = 10_500

test(`${rounds} changed answers: each is refused with a reason, waited for, or proved by the right key (seed ${seed})`, () => {
  const random = randomFrom(seed)
  const kinds = Object.entries(ways)
  const ends = { refused: 0, waiting: 0, proved: 0 }
  for (let round = 0; round < rounds; round++) {
    const [kind, answer] = kinds[round % kinds.length] ?? assert.fail()
    const client = startClient({ name })
    const bytes = answer(client.hello, random)
    const startedMs = performance.now()
    try {
      let at = 0
      let seen = null
      while (seen === null && at < bytes.length) {
        const next = Math.min(bytes.length, at + (random(2) ? bytes.length : 1 + random(200)))
        seen = client.receive(Buffer.from(bytes.subarray(at, next))).seen
        at = next
      }
      if (seen !== null) assert.equal(seen.leaf.spki, spki, `${kind}, round ${round}`)
      ends[seen === null ? 'waiting' : 'proved'] += 1
    } catch (error) {
      if (!(error instanceof TlsFlaw)) throw new Error(`${kind}, round ${round}, seed ${seed}`, { cause: error })
      ends.refused += 1
    }
    assert.ok(performance.now() - startedMs < 1_000, `${kind}, round ${round}`)
  }
  // The changes meet all of it: else they change nothing, or break the first byte only.
  assert.ok(ends.refused > rounds / 3 && ends.waiting > 100 && ends.proved > 100, JSON.stringify(ends))
})

test('records cut anywhere, in pieces of single bytes, change nothing', () => {
  const random = randomFrom(seed)
  for (let round = 0; round < 50; round++) {
    const client = startClient({ name })
    let seen = null
    for (const byte of recut(forger.answer12(client.hello), random)) seen ??= client.receive(Buffer.of(byte)).seen
    assert.equal(seen?.fingerprint, sold.fingerprint)
  }
})

test(`300 of them over TCP, with node:tls behind: all end in time (seed ${seed})`, async () => {
  const random = randomFrom(seed)
  const kinds = Object.values(ways)
  let round = 0
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', (hello) => {
      const answer = kinds[round++ % kinds.length]
      // The hello of node:tls is another one: it gets what was recorded.
      const ours = hello.length > 43 && hello[43] === 32 && hello[5] === 1
      socket.end(ours && answer ? answer(hello, random) : mutate(recorded[1] ?? Buffer.alloc(0), random))
    })
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  try {
    for (let at = 0; at < 300; at++) {
      const startedMs = performance.now()
      const seen = await handshake({ address: '127.0.0.1', port, name }, { timeoutMs: 2_000 }).catch((error) => error)
      if (seen instanceof Error) assert.ok(seen instanceof OnecertError, `${seen.stack}`)
      else assert.equal(seen.spki, spki)
      assert.ok(performance.now() - startedMs < 4_000)
    }
  } finally {
    server.close()
  }
})
