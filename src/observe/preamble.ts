import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { fail, quote } from '../base/errors.ts'
import type { Starttls } from '../fleet/fleet.ts'
import { type Endpoint, endpointText, serverNameOf } from './endpoint.ts'
import { proxyHeader } from './proxy-header.ts'

const replyBytesMax = 16_384

/**
 * What a client says before its first TLS record: the PROXY protocol header of a load balancer, and the request to begin TLS
 * in a protocol that begins in clear.
 * @throws OnecertError PROBE_NO_STARTTLS
 */
export async function beforeTls(stream: Duplex, endpoint: Endpoint): Promise<void> {
  const { proxyProtocol, starttls } = endpoint
  if (proxyProtocol) stream.write(proxyHeader(proxyProtocol, stream instanceof Socket ? stream : {}))
  if (starttls) await dialogues[starttls](conversationOn(stream, endpoint))
}

interface Conversation {
  /** The host name that is asked for; empty: none. */
  readonly name: string
  say(text: string | Buffer): void
  /** What is read until it is whole, and then has to be right. */
  hear(whole: Judge, right: Judge): Promise<void>
}

/** An expression looks at the text in latin1. */
type Judge = RegExp | ((heard: Buffer) => boolean)

/** The last line of a reply has a space behind its code (RFC 5321 section 4.2.1, RFC 959 section 4.2). */
const reply = /^\d{3}(?: .*)?\r\n$/m

const dialogues: Record<Starttls, (talk: Conversation) => Promise<void>> = {
  /** RFC 3207. */
  async smtp({ say, hear }) {
    await hear(reply, /^220/)
    say('EHLO onecert.invalid\r\n')
    await hear(reply, /^250[ -]STARTTLS\b/im)
    say('STARTTLS\r\n')
    await hear(reply, /^220/)
  },
  /** RFC 4217 section 4. */
  async ftp({ say, hear }) {
    await hear(reply, /^220/)
    say('AUTH TLS\r\n')
    await hear(reply, /^234/)
  },
  /** RFC 9051 section 6.2.1. */
  async imap({ say, hear }) {
    await hear(/\r\n$/, /^\* OK/i)
    say('a STARTTLS\r\n')
    await hear(/^a .*\r\n$/m, /^a OK/im)
  },
  /** RFC 2595 section 4. */
  async pop3({ say, hear }) {
    await hear(/\r\n$/, /^\+OK/i)
    say('STLS\r\n')
    await hear(/\r\n$/, /^\+OK/i)
  },
  /** SSLRequest of PostgreSQL's protocol: length 8, code 80877103; the answer is one byte. */
  async postgres({ say, hear }) {
    say(Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]))
    await hear(/^./s, /^S$/)
  },
  /** The initial handshake packet and the SSLRequest of MySQL's protocol 10, which MariaDB speaks too. */
  async mysql({ say, hear }) {
    await hear(packetIsWhole, offersSsl)
    // Flags: PROTOCOL_41, SSL, SECURE_CONNECTION; packets of at most 16 MB; utf8mb4. There is no answer to it.
    say(Buffer.concat([Buffer.from([32, 0, 0, 1, 0, 0x8a, 0, 0, 0, 0, 0, 1, 45]), Buffer.alloc(23)]))
  },
  /** RFC 4511 section 4.14: an extended request, and a response whose result is 0. */
  async ldap({ say, hear }) {
    say(Buffer.concat([Buffer.from([0x30, 29, 2, 1, 1, 0x77, 24, 0x80, 22]), Buffer.from('1.3.6.1.4.1.1466.20037')]))
    await hear(elementIsWhole, saysSuccess)
  },
  /** RFC 6120 section 5.4.2. */
  async xmpp({ name, say, hear }) {
    const spaces = "xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'"
    say(`<?xml version='1.0'?><stream:stream to='${name}' ${spaces} version='1.0'>`)
    await hear(/<\/stream:features>|<stream:features\/>|<\/stream:stream>/, /<starttls\b/)
    say("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
    await hear(/<(proceed|failure)\b[^>]*>/, /<proceed\b/)
  },
}

/** The length of a packet of MySQL's protocol stands in its first three bytes, the lowest one first. */
function packetIsWhole(heard: Buffer): boolean {
  return heard.length >= 4 && heard.length >= 4 + heard.readUIntLE(0, 3)
}

/** Protocol 10, a version that ends with 0, a thread (4), 8 bytes and a 0; then flags, of which one is CLIENT_SSL. */
function offersSsl(heard: Buffer): boolean {
  const flagsAt = heard.indexOf(0, 5) + 1 + 4 + 8 + 1
  return heard[4] === 10 && heard.length >= flagsAt + 2 && (heard.readUInt16LE(flagsAt) & 0x0800) !== 0
}

/** X.690 section 8.1.3: where the content of an element begins and ends; null: not all of its length is there. */
function contentOf(bytes: Buffer, at: number): { readonly begin: number; readonly end: number } | null {
  const short = bytes[at + 1]
  if (short === undefined) return null
  const count = short < 0x80 ? 0 : Math.min(short & 0x7f, 4)
  const begin = at + 2 + count
  if (bytes.length < begin) return null
  return { begin, end: begin + (count === 0 ? short & 0x7f : bytes.readUIntBE(at + 2, count)) }
}

function elementIsWhole(heard: Buffer): boolean {
  const content = contentOf(heard, 0)
  return content !== null && heard.length >= content.end
}

/** RFC 4511 section 4.2: the message 1, in it [APPLICATION 24], in it first the result: success is 0. */
function saysSuccess(heard: Buffer): boolean {
  const inMessage = contentOf(heard, 0)?.begin ?? 0
  const result = contentOf(heard, inMessage + 3)?.begin ?? 0
  return heard[inMessage + 3] === 0x78 && heard.subarray(result, result + 3).equals(Buffer.from([0x0a, 1, 0]))
}

export const starttlsKinds = Object.keys(dialogues) as Starttls[]

function conversationOn(stream: Duplex, endpoint: Endpoint): Conversation {
  return {
    name: serverNameOf(endpoint) ?? '',
    say: (text) => void stream.write(text),
    async hear(whole, right) {
      const heard = await readUntil(stream, whole)
      if (judged(heard, right)) return
      fail('PROBE_NO_STARTTLS', {
        what: `${endpointText(endpoint)} does not begin TLS (${endpoint.starttls})`,
        fact: heard.length === 0 ? 'it ended the connection' : `it said "${quote(latin1(heard).trim(), 160)}"`,
      })
    },
  }
}

function judged(heard: Buffer, judge: Judge): boolean {
  return judge instanceof RegExp ? judge.test(latin1(heard)) : judge(heard)
}

function latin1(bytes: Buffer): string {
  return bytes.toString('latin1')
}

/** What comes until it is whole, too much, or at its end. Nobody reads ahead: the server waits for us then. */
function readUntil(stream: Duplex, whole: Judge): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let heard = Buffer.alloc(0)
    const settle = (end: () => void) => {
      stream.off('data', read).off('error', failed).off('end', ended).off('close', ended)
      stream.pause()
      end()
    }
    const read = (chunk: Buffer) => {
      heard = Buffer.concat([heard, chunk])
      if (judged(heard, whole) || heard.length > replyBytesMax) settle(() => resolve(heard))
    }
    const failed = (error: Error) => settle(() => reject(error))
    const ended = () => settle(() => resolve(heard))
    stream.on('data', read).on('error', failed).on('end', ended).on('close', ended).resume()
  })
}
