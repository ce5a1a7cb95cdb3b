import { contextTag, integer, members, readDer } from '../pki/der.ts'
import type { HandshakeOptions } from './contact.ts'
import type { Endpoint } from './endpoint.ts'
import { sessionAt } from './resumption.ts'

/** Of SSL_SESSION as OpenSSL writes it (ssl/ssl_asn1.c): left out where it is 0. */
const lifetimeHintTag = 9

/** What newer versions of node:tls put before a session: this, and the name of the server behind its length (2 bytes). */
const nodePrefix = Buffer.from('\0nodejs:tls:session:1\0', 'latin1')

function derOf(session: Buffer): Buffer {
  if (!session.subarray(0, nodePrefix.length).equals(nodePrefix)) return session
  const nameBytes = session.readUInt16BE(nodePrefix.length)
  return session.subarray(nodePrefix.length + 2 + nameBytes)
}

/**
 * How long a session ticket is good for, as the server says: ticket_lifetime of RFC 8446 section 4.6.1, or the hint of
 * RFC 5077 section 3.3. It takes a whole handshake by node:tls: tickets come behind what our own sends.
 * @returns seconds, 0 where the server leaves it to the client; null: it gives no ticket
 * @throws OnecertError PROBE_*
 */
export async function ticketLifetimeAt(endpoint: Endpoint, options: HandshakeOptions): Promise<number | null> {
  const found = await sessionAt(endpoint, undefined, options)
  if (found.kind !== 'session') return null
  const hint = members(readDer(derOf(found.session))).find((each) => contextTag(each) === lifetimeHintTag)
  return hint === undefined ? 0 : integer(members(hint)[0])
}
