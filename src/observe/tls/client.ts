import { makeOffer, type Offer, type Wanted } from './client-hello.ts'
import type { Dialogue, Seen } from './dialogue.ts'
import { malformed, unsupported } from './flaw.ts'
import { firstGroup, type Group, groups } from './groups.ts'
import { transcriptHash } from './key-schedule.ts'
import { contentType, firstVersion, makeRecords, plainRecord, type Records } from './records.ts'
import { readServerHello } from './server-hello.ts'
import { talk12 } from './tls12.ts'
import { talk13 } from './tls13.ts'

/** One handshake as bytes in and bytes out: it knows no socket and no clock. */
export interface TlsClient {
  /** The first thing to send. */
  readonly hello: Buffer
  /**
   * What came, in pieces of any length; a piece is kept.
   * @returns what is to be sent, and what was seen once it is proved
   * @throws TlsFlaw
   */
  receive(piece: Buffer): { readonly send: Buffer | null; readonly seen: Seen | null }
}

const proceed = { send: null, seen: null }

/** Up to the proof that the server holds the key of its certificate; no further. */
export function startClient(wanted: Wanted): TlsClient {
  const offer = makeOffer(wanted)
  const records = makeRecords()
  const dialogue = talk(offer, records)
  dialogue.next()
  return {
    hello: plainRecord(contentType.handshake, offer.message, firstVersion),
    receive(piece) {
      records.push(piece)
      const send: Buffer[] = []
      for (let message = records.next(); message !== null; message = records.next()) {
        const { done, value } = dialogue.next(message)
        if (done) return { send: null, seen: value }
        if (value !== null) send.push(value)
      }
      return send.length === 0 ? proceed : { send: Buffer.concat(send), seen: null }
    },
  }
}

function* talk(offer: Offer, records: Records): Dialogue {
  let message = yield null
  let hello = readServerHello(message, offer)
  let transcript = [offer.message]
  let group = firstGroup
  if (hello.version === 'again') {
    const { suite, cookie } = hello
    // RFC 8446 section 4.1.4: it has to ask for something else.
    if (hello.group === firstGroup || (hello.group === undefined && cookie === undefined))
      malformed('a HelloRetryRequest that asks for what was sent')
    group = hello.group ?? firstGroup
    groupOf(group)
    const second = offer.again(group, cookie)
    // RFC 8446 section 4.4.1: a hash stands for the first hello.
    const first = transcriptHash(suite.hash, transcript)
    transcript = [Buffer.from([254, 0, 0, first.length]), first, message.raw, second]
    message = yield Buffer.concat([changeCipherSpec, plainRecord(contentType.handshake, second)])
    hello = readServerHello(message, offer)
    if (hello.version !== 'TLSv1.3' || hello.suite !== suite)
      malformed('the ServerHello goes back on the HelloRetryRequest')
  }
  if (hello.version === 'TLSv1.2') return yield* talk12(offer, hello)
  if (hello.version !== 'TLSv1.3') return malformed('a second HelloRetryRequest')
  const { suite, share } = hello
  // RFC 8446 section 4.2.8: the group of a share that was sent.
  if (hello.group !== group) malformed(`a key share of the group ${hello.group}, for which none was sent`)
  const { name, secret } = groupOf(group)
  transcript.push(message.raw)
  return yield* talk13(offer, { suite, group: name, secret: secret(share), transcript }, records)
}

/** RFC 8446 appendix D.4: before a second hello, for middleboxes. */
const changeCipherSpec = plainRecord(contentType.changeCipherSpec, Buffer.from([1]))

function groupOf(id: number): Group {
  return groups.get(id) ?? unsupported(`the server wants the key exchange ${id}`)
}
