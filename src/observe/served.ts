/** Seen from outside; through the connection to the server; or by the server itself. */
export type Vantage = 'direct' | 'forwarded' | 'on-server'

/** What an endpoint served in one handshake, from the served bytes alone. */
export interface Served {
  /** SHA-256 of each certificate, lower hex, leaf first, each followed by the one that issued it. */
  readonly chain: readonly string[]
  readonly notAfterMs: number
  readonly subject: string
}
