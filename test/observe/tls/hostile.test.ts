import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { before, describe, test } from 'node:test'
import { OnecertError } from '../../../src/base/errors.ts'
import { handshake } from '../../../src/observe/handshake.ts'
import { createAuthority, type Sold } from '../../authority.ts'
import { type Forger, makeForger, message, sized } from './forger.ts'

const name = 'www.lab.example'
const timeoutMs = 1_000
/** Timers and a busy machine. */
const graceMs = 1_500

let sold: Sold
let forger: Forger
before(async () => {
  sold = await (await createAuthority()).sell({ names: [name] })
  forger = makeForger(sold)
})

/** What a server does with the hello of each connection. */
type Answer = (socket: Socket, hello: Buffer) => void

/** @returns the refusal, which came within the limit */
async function look(answer: Answer): Promise<OnecertError> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('error', () => {}).on('close', () => open.delete(socket))
    socket.once('data', (hello) => answer(socket, hello))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const startedMs = performance.now()
  try {
    const { port } = server.address() as AddressInfo
    const seen = await handshake({ address: '127.0.0.1', port, name }, { timeoutMs }).catch((error: unknown) => error)
    assert.ok(seen instanceof OnecertError, `${seen}`)
    const tookMs = performance.now() - startedMs
    assert.ok(tookMs < timeoutMs + graceMs, `${tookMs} ms`)
    return seen
  } finally {
    for (const socket of open) socket.destroy()
    server.close()
  }
}

const record = (type: number, body: Buffer) => Buffer.concat([Buffer.from([type, 3, 3]), sized(2, body)])
const endlessly = (socket: Socket, piece: Buffer) => {
  const many = Buffer.concat(Array(Math.ceil(20_000 / piece.length)).fill(piece))
  const more = () => {
    if (!socket.destroyed) socket.write(many, () => setImmediate(more))
  }
  more()
}

const hostile: Readonly<Record<string, readonly [answer: Answer, code: string, fact: RegExp]>> = {
  'plain HTTP': [(socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'), 'PROBE_NOT_TLS', /no TLS record/],
  'a greeting of another protocol': [(socket) => socket.write('220 mx.lab.example\r\n'), 'PROBE_NOT_TLS', /no TLS/],
  'records of SSL 2': [(socket) => socket.write(Buffer.from([0x80, 3, 0, 0, 1])), 'PROBE_NOT_TLS', /no TLS/],
  'TLS of no version': [(socket) => socket.write(Buffer.from([22, 9, 9, 0, 1, 0])), 'PROBE_NOT_TLS', /no TLS/],
  'an end at once': [(socket) => socket.end(), 'PROBE_FAILED', /ended the connection/],
  'a reset at once': [(socket) => socket.resetAndDestroy(), 'PROBE_FAILED', /ended the connection/],
  silence: [() => {}, 'PROBE_TIMEOUT', /ETIMEDOUT/],
  'half a record, and the end': [
    (socket, hello) => socket.end(forger.answer13(hello).subarray(0, 200)),
    'PROBE_FAILED',
    /ended the connection/,
  ],
  'half a record, and silence': [
    (socket, hello) => socket.write(forger.answer13(hello).subarray(0, 200)),
    'PROBE_TIMEOUT',
    /ETIMEDOUT/,
  ],
  'a drip of single bytes that would take minutes': [
    (socket, hello) => {
      const bytes = forger.answer13(hello)
      let at = 0
      const timer = setInterval(() => socket.write(bytes.subarray(at, ++at)), 50)
      socket.on('close', () => clearInterval(timer))
    },
    'PROBE_TIMEOUT',
    /ETIMEDOUT/,
  ],
  'a record that is too large': [
    (socket) => endlessly(socket, Buffer.concat([Buffer.from([22, 3, 3, 255, 255]), Buffer.alloc(65_535)])),
    'PROBE_FAILED',
    /a record of 65535 bytes/,
  ],
  'a message of 16 MB': [
    (socket) => endlessly(socket, record(22, Buffer.concat([Buffer.from([2, 255, 255, 255]), Buffer.alloc(16_000)]))),
    'PROBE_FAILED',
    /a handshake message of 16777215 bytes/,
  ],
  'certificates without end': [
    (socket, hello) => {
      const first = forger.answer12(hello)
      socket.write(first.subarray(0, 5 + first.readUInt16BE(3)))
      endlessly(socket, record(22, message(11, Buffer.alloc(100_000)).subarray(0, 16_000)))
    },
    'PROBE_FAILED',
    /Certificate|bytes/,
  ],
  'warnings without end': [
    (socket) => endlessly(socket, record(21, Buffer.from([1, 112]))),
    'PROBE_FAILED',
    /more than 16384 records/,
  ],
  'change_cipher_spec without end': [
    (socket) => {
      socket.write(record(21, Buffer.from([1, 112])))
      endlessly(socket, record(20, Buffer.from([1])))
    },
    'PROBE_FAILED',
    /more than 16384 records/,
  ],
  'HelloRequest without end': [
    (socket) => endlessly(socket, record(22, Buffer.concat(Array(4_000).fill(message(0))))),
    'PROBE_FAILED',
    /more than 262144 bytes/,
  ],
  'empty records without end': [(socket) => endlessly(socket, record(22, Buffer.alloc(0))), 'PROBE_FAILED', /empty/],
  'application data': [(socket) => socket.write(record(23, randomBytes(100))), 'PROBE_NOT_TLS', /no TLS/],
  'a chain of 40': [
    (socket, hello) => socket.write(forger.answer13(hello, { chain: Array(40).fill(Buffer.from([0x30, 1, 0])) })),
    'PROBE_FAILED',
    /a chain of 40/,
  ],
  'a leaf that is no certificate': [
    (socket, hello) => socket.write(forger.answer13(hello, { chain: [Buffer.from([0x30, 1, 0])] })),
    'PROBE_FAILED',
    /cannot be read/,
  ],
  'the alert handshake_failure': [
    (socket) => socket.end(record(21, Buffer.from([2, 40]))),
    'PROBE_FAILED',
    /handshake_failure/,
  ],
  'the alert unrecognized_name': [
    (socket) => socket.end(record(21, Buffer.from([2, 112]))),
    'PROBE_FAILED',
    /unrecognized_name/,
  ],
  'an alert that nobody knows': [
    (socket) => socket.end(record(21, Buffer.from([2, 222]))),
    'PROBE_FAILED',
    /alert 222/,
  ],
}

describe('whatever a server says, a look ends in time with a reason', () => {
  for (const [what, [answer, code, fact]] of Object.entries(hostile)) {
    test(what, async () => {
      const refusal = await look(answer)
      assert.equal(refusal.code, code, refusal.failure.fact)
      assert.match(refusal.failure.fact ?? '', fact)
    })
  }

  test('random bytes, as such and as a record', async () => {
    for (let round = 0; round < 40; round++) {
      const bytes = randomBytes(1 + 37 * round)
      const refusal = await look((socket) => socket.end(round % 2 ? bytes : record(22, bytes)))
      assert.match(refusal.code, /^PROBE_(NOT_TLS|FAILED)$/)
    }
  })

  test('a server that grants TLS in clear and then says something else', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => {}).on('data', () => socket.write('S\0\0\0'))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    try {
      const looking = handshake({ address: '127.0.0.1', port, name, starttls: 'postgres' }, { timeoutMs })
      await assert.rejects(looking, { name: 'OnecertError' })
    } finally {
      server.close()
    }
  })
})
