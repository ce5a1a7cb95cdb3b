/**
 * Why a handshake of our own went no further.
 *
 * - `not-tls`: what answers speaks another protocol
 * - `closed`: the connection ended before the server had said enough
 * - `alert`: the server refused, by an alert
 * - `malformed`: what came breaks the protocol, or one of our limits
 * - `unsupported`: allowed, and nothing that we can do
 * - `refused`: the server speaks nothing newer than TLS 1.1
 * - `unproven`: a certificate came, and no proof that the server holds its key
 */
export type FlawKind = 'not-tls' | 'closed' | 'alert' | 'malformed' | 'unsupported' | 'refused' | 'unproven'

export class TlsFlaw extends Error {
  readonly kind: FlawKind
  /** Whether another client, which offers and reads more, may get further (node:tls). */
  readonly mayGetFurther: boolean

  constructor(kind: FlawKind, message: string, mayGetFurther = kind === 'malformed' || kind === 'unsupported') {
    super(message)
    this.name = 'TlsFlaw'
    this.kind = kind
    this.mayGetFurther = mayGetFurther
  }
}

export function malformed(message: string): never {
  throw new TlsFlaw('malformed', message)
}

export function unsupported(message: string): never {
  throw new TlsFlaw('unsupported', message)
}

export function unproven(message: string): never {
  throw new TlsFlaw('unproven', message)
}
