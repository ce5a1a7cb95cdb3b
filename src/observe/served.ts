/** Seen from outside; through the connection to the server; or by the server itself. */
export type Vantage = 'direct' | 'forwarded' | 'on-server'

/** What an endpoint served in one handshake, from the served bytes alone. */
export interface Served {
  /** SHA-256 of each certificate, lower hex, leaf first, each followed by the one that issued it. */
  readonly chain: readonly string[]
  /** The certificates themselves in DER, in the order of `chain`. */
  readonly certificates: readonly Uint8Array[]
  readonly notAfterMs: number
  readonly subject: string
  /** SHA-256 of the leaf's SubjectPublicKeyInfo, lower hex: whose key it is. */
  readonly spki: string
}

/** Why what was served is not the generation; null where it is. Leaf and chain must be the very ones, in order. */
export function servedWrong(
  served: readonly string[],
  generation: { readonly chain: readonly string[] },
): string | null {
  if (served[0] !== generation.chain[0]) {
    return `serves ${served[0]?.slice(0, 8) ?? 'nothing'}, expected ${generation.chain[0]?.slice(0, 8)}`
  }
  if (served.length < generation.chain.length) return 'serves an incomplete chain'
  return generation.chain.every((fingerprint, at) => served[at] === fingerprint) ? null : 'serves another chain'
}
