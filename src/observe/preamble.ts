import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { fail, quote } from '../base/errors.ts'
import type { Starttls } from '../fleet/fleet.ts'
import { type Endpoint, endpointText } from './endpoint.ts'
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
  say(text: string | Buffer): void
  /** What is read until it is whole, and then has to be right. */
  hear(whole: RegExp, right: RegExp): Promise<void>
}

const dialogues: Record<Starttls, (talk: Conversation) => Promise<void>> = {
  /** RFC 3207. The last line of a reply has a space behind its code (RFC 5321 section 4.2.1). */
  async smtp({ say, hear }) {
    await hear(/^\d{3}(?: .*)?\r\n$/m, /^220/)
    say('EHLO onecert.invalid\r\n')
    await hear(/^\d{3}(?: .*)?\r\n$/m, /^250[ -]STARTTLS\b/im)
    say('STARTTLS\r\n')
    await hear(/^\d{3}(?: .*)?\r\n$/m, /^220/)
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
}

export const starttlsKinds = Object.keys(dialogues) as Starttls[]

function conversationOn(stream: Duplex, endpoint: Endpoint): Conversation {
  return {
    say: (text) => void stream.write(text),
    async hear(whole, right) {
      const heard = await readUntil(stream, whole)
      if (right.test(heard)) return
      fail('PROBE_NO_STARTTLS', {
        what: `${endpointText(endpoint)} does not begin TLS (${endpoint.starttls})`,
        fact: heard === '' ? 'it ended the connection' : `it said "${quote(heard.trim(), 160)}"`,
      })
    },
  }
}

/** What comes until it is whole, too much, or at its end. Nobody reads ahead: the server waits for us then. */
function readUntil(stream: Duplex, whole: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = ''
    const settle = (end: () => void) => {
      stream.off('data', read).off('error', failed).off('end', ended).off('close', ended)
      stream.pause()
      end()
    }
    const read = (chunk: Buffer) => {
      heard += chunk.toString('latin1')
      if (whole.test(heard) || heard.length > replyBytesMax) settle(() => resolve(heard))
    }
    const failed = (error: Error) => settle(() => reject(error))
    const ended = () => settle(() => resolve(heard))
    stream.on('data', read).on('error', failed).on('end', ended).on('close', ended).resume()
  })
}
