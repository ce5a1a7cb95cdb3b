import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createSecureContext, TLSSocket } from 'node:tls'
import { OnecertError } from '../../src/base/errors.ts'
import type { Listener, Starttls } from '../../src/fleet/fleet.ts'
import { handshake } from '../../src/observe/handshake.ts'
import { type CertificateFiles, writeCertificate } from '../real/certificate.ts'
import { startHaproxy } from '../real/haproxy.ts'
import { startNginx } from '../real/nginx.ts'
import { makeDirectory } from '../real/running.ts'

const name = 'www.lab.example'
const names = [name] as const

let directory: string
let files: CertificateFiles
before(async () => {
  directory = await makeDirectory('preamble')
  await mkdir(join(directory, 'tls'))
  files = await writeCertificate(join(directory, 'tls'), names)
})
after(() => rm(directory, { recursive: true }))

async function refused(looking: Promise<unknown>, code: string, fact: RegExp): Promise<void> {
  const error = await looking.then(
    () => assert.fail('no refusal'),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof OnecertError)
  assert.equal(error.code, code)
  assert.match(error.failure.fact ?? '', fact)
}

describe('a service that expects the PROXY protocol', () => {
  const starters = {
    nginx: () => startNginx({ sites: [{ names, ...files }], proxyProtocol: true }),
    haproxy: () => startHaproxy({ sites: [{ names, ...files }], proxyProtocol: true }),
  }
  for (const [kind, start] of Object.entries(starters)) {
    test(`${kind} shows its certificate behind the header of either version, and nothing without one`, async () => {
      const service = await start()
      try {
        const { address, port } = service
        for (const proxyProtocol of ['v1', 'v2'] as const) {
          const { chain } = await handshake({ address, port, name, proxyProtocol }, { timeoutMs: 5_000 })
          assert.equal(chain[0], files.fingerprint, proxyProtocol)
        }
        await refused(handshake({ address, port, name }, { timeoutMs: 5_000 }), 'PROBE_FAILED', /./)
      } finally {
        await service.stop()
      }
    })
  }
})

/** What a server says first, and to each line. */
interface Script {
  readonly greeting?: string
  readonly replies: Readonly<Record<string, string>>
}

/** A response of LDAP to the request of StartTLS. */
const ldapRequest = '0\x1d\x02\x01\x01w\x18\x80\x161.3.6.1.4.1.1466.20037'
/** MySQL's first packet, with these flags in the lower half. */
const mysqlGreeting = (low: number, high: number) => {
  const body = `\n8.0.36\0\x05\0\0\0abcdefgh\0${String.fromCharCode(low, high)}\x2d\x02\0\xff\xdf\x15${'\0'.repeat(10)}ijklmnopqrst\0`
  return `${String.fromCharCode(body.length)}\0\0\0${body}`
}
const xmppOpen =
  "<?xml version='1.0'?><stream:stream to='www.lab.example' xmlns='jabber:client' " +
  "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
const xmppStart = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"

/** MySQL's client goes on without an answer: it is tried with a real server only. */
const good: Record<Exclude<Starttls, 'mysql'>, Script> = {
  smtp: {
    greeting: '220-mx.lab.example\r\n220 ready\r\n',
    replies: {
      'EHLO onecert.invalid': '250-mx.lab.example\r\n250-SIZE 1000\r\n250 STARTTLS\r\n',
      STARTTLS: '220 2.0.0 go ahead\r\n',
    },
  },
  imap: {
    greeting: '* OK [CAPABILITY IMAP4rev1 STARTTLS] ready\r\n',
    replies: { 'a STARTTLS': '* NOTICE\r\na OK begin\r\n' },
  },
  pop3: { greeting: '+OK ready\r\n', replies: { STLS: '+OK begin\r\n' } },
  postgres: { replies: { '\0\0\0\b\x04\xd2\x16/': 'S' } },
  ftp: { greeting: '220-welcome\r\n220 ready\r\n', replies: { 'AUTH TLS': '234 go ahead\r\n' } },
  ldap: { replies: { [ldapRequest]: '0\x84\0\0\0\x10\x02\x01\x01x\x84\0\0\0\x07\x0a\x01\0\x04\0\x04\0' } },
  xmpp: {
    replies: {
      [xmppOpen]: `<stream:stream version='1.0'><stream:features>${xmppStart}</stream:features>`,
      [xmppStart]: "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    },
  },
}

const unwilling: readonly (readonly [Starttls, Script, RegExp])[] = [
  ['smtp', { ...good.smtp, greeting: '554 not you\r\n' }, /554 not you/],
  ['smtp', { ...good.smtp, replies: { 'EHLO onecert.invalid': '250-mx\r\n250 SIZE 1\r\n' } }, /250 SIZE 1/],
  ['smtp', { ...good.smtp, replies: { ...good.smtp.replies, STARTTLS: '454 no TLS now\r\n' } }, /454 no TLS now/],
  ['imap', { ...good.imap, replies: { 'a STARTTLS': 'a BAD what\r\n' } }, /a BAD what/],
  ['pop3', { ...good.pop3, replies: { STLS: '-ERR no\r\n' } }, /-ERR no/],
  ['postgres', { replies: { '\0\0\0\b\x04\xd2\x16/': 'N' } }, /"N"/],
  ['ftp', { ...good.ftp, replies: { 'AUTH TLS': '502 no\r\n' } }, /502 no/],
  ['ldap', { replies: { [ldapRequest]: '0\x0c\x02\x01\x01x\x07\x0a\x01\x02\x04\0\x04\0' } }, /it said/],
  ['xmpp', { replies: { [xmppOpen]: '<stream:stream><stream:features/>' } }, /<stream:features\/>/],
  ['xmpp', { replies: { ...good.xmpp.replies, [xmppStart]: '<failure/></stream:stream>' } }, /<failure\/>/],
  ['mysql', { greeting: mysqlGreeting(0xff, 0xf7), replies: {} }, /8\.0\.36/],
  ['mysql', { greeting: '\x0f\0\0\0\xffj\x04Host blocked', replies: {} }, /Host blocked/],
  ['imap', { greeting: 'HTTP/1.1 400 Bad Request\r\n', replies: {} }, /HTTP\/1\.1 400/],
]

/** In pieces of one byte, as a slow network may bring it. */
async function sayInPieces(socket: Socket, text: string): Promise<void> {
  for (const byte of Buffer.from(text, 'latin1')) {
    socket.write(Buffer.from([byte]))
    await new Promise(setImmediate)
  }
}

async function scripted(script: Script, look: (listener: Listener) => Promise<void>, end = false): Promise<void> {
  const secureContext = createSecureContext({ cert: await readFile(files.chain), key: await readFile(files.key) })
  const server = createServer({ noDelay: true }, async (socket) => {
    socket.on('error', () => {})
    if (end) return void socket.end()
    if (script.greeting) await sayInPieces(socket, script.greeting)
    let said = 0
    const answer = async (chunk: Buffer) => {
      const reply = script.replies[chunk.toString('latin1').trimEnd()]
      if (reply === undefined) return
      said += 1
      const last = said === Object.keys(script.replies).length
      if (last) socket.off('data', answer)
      await sayInPieces(socket, reply)
      if (last) new TLSSocket(socket, { isServer: true, secureContext }).on('error', () => {})
    }
    socket.on('data', answer)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  try {
    await look({ port: (server.address() as AddressInfo).port })
  } finally {
    server.close()
  }
}

describe('TLS that begins inside of another protocol', () => {
  for (const starttls of Object.keys(good) as (keyof typeof good)[]) {
    test(`${starttls}: it is asked for, and the certificate is seen`, async () => {
      await scripted(good[starttls], async ({ port }) => {
        const { chain } = await handshake({ address: '127.0.0.1', port, name, starttls }, { timeoutMs: 5_000 })
        assert.equal(chain[0], files.fingerprint)
      })
    })
    test(`${starttls}: a server that ends the connection is said to do so`, async () => {
      await scripted(
        good[starttls],
        ({ port }) =>
          refused(
            handshake({ address: '127.0.0.1', port, name, starttls }, { timeoutMs: 5_000 }),
            'PROBE_NO_STARTTLS',
            /it ended the connection/,
          ),
        true,
      )
    })
  }
  for (const [starttls, script, told] of unwilling) {
    test(`${starttls}: "${told.source}" is told as the server said it`, async () => {
      await scripted(script, ({ port }) =>
        refused(
          handshake({ address: '127.0.0.1', port, name, starttls }, { timeoutMs: 5_000 }),
          'PROBE_NO_STARTTLS',
          told,
        ),
      )
    })
  }
  test('a server that says nothing takes no longer than the limit', async () => {
    await scripted({ replies: {} }, ({ port }) =>
      refused(
        handshake({ address: '127.0.0.1', port, name, starttls: 'smtp' }, { timeoutMs: 300 }),
        'PROBE_TIMEOUT',
        /ETIMEDOUT/,
      ),
    )
  })
})
