import type { TLSSocket } from 'node:tls'
import { OnecertError } from '../base/errors.ts'
import type { HandshakeOptions } from './contact.ts'
import type { Endpoint } from './endpoint.ts'
import { meet, trustingNothing } from './node-tls.ts'

export const protocols = ['TLSv1.2', 'TLSv1.3'] as const
export type Protocol = (typeof protocols)[number]

/** A session that one endpoint gave, shown to another one of the same name. */
export type Resumption =
  | 'resumed'
  /** The other one made a full handshake. */
  | 'full'
  /** The first one gives no session. */
  | 'no-session'
  /** One of both does not speak this version of TLS. */
  | 'not-spoken'

export type Session = { readonly kind: 'session'; readonly session: Buffer } | { readonly kind: 'none' | 'not-spoken' }

/** In TLS 1.3 a ticket comes behind the handshake (RFC 8446 section 4.6.1), in TLS 1.2 within it (RFC 5077 section 3.3). */
const ticketWithinMs = 1_000

/**
 * The session of a full handshake, as a client would keep it.
 * @param protocol undefined: TLS 1.3 or 1.2, whichever the server prefers
 * @throws OnecertError PROBE_*
 */
export function sessionAt(
  endpoint: Endpoint,
  protocol: Protocol | undefined,
  options: HandshakeOptions,
): Promise<Session> {
  const tls = { secureContext: trustingNothing(endpoint.keyKind, protocol) }
  return ifSpoken<Session>(() => meet(endpoint, options, tls, sessionOf), { kind: 'not-spoken' })
}

function sessionOf(socket: TLSSocket): Session | Promise<Session> {
  if (socket.getProtocol() === 'TLSv1.2') {
    const session = socket.getTLSTicket() && socket.getSession()
    return session ? { kind: 'session', session } : { kind: 'none' }
  }
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve({ kind: 'none' }), ticketWithinMs)
    socket.once('session', (session: Buffer) => {
      clearTimeout(timer)
      resolve({ kind: 'session', session })
    })
    socket.resume()
  })
}

/**
 * Whether an endpoint goes on with a session.
 * @throws OnecertError PROBE_*
 */
export function resumes(
  endpoint: Endpoint,
  protocol: Protocol,
  given: Session,
  options: HandshakeOptions,
): Promise<Resumption> {
  if (given.kind !== 'session') return Promise.resolve(given.kind === 'none' ? 'no-session' : 'not-spoken')
  const tls = { secureContext: trustingNothing(endpoint.keyKind, protocol), session: given.session }
  const read = (socket: TLSSocket): Resumption => (socket.isSessionReused() ? 'resumed' : 'full')
  return ifSpoken<Resumption>(() => meet(endpoint, options, tls, read), 'not-spoken')
}

async function ifSpoken<T>(look: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await look()
  } catch (error) {
    const fact = error instanceof OnecertError ? (error.failure.fact ?? '') : ''
    if (/PROTOCOL_VERSION|UNSUPPORTED_PROTOCOL/.test(fact)) return otherwise
    throw error
  }
}
