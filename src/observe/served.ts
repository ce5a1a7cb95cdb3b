/** Seen from outside; through the connection to the server; or by the server itself. */
export type Vantage = 'direct' | 'forwarded' | 'on-server'

/** What an endpoint served in one handshake, from the served bytes alone. */
export interface Served {
  /** SHA-256 of each certificate, lower hex, leaf first, in the order in which they were sent. */
  readonly chain: readonly string[]
  /** The certificates themselves in DER, in the order of `chain`. */
  readonly certificates: readonly Uint8Array[]
  readonly notAfterMs: number
  readonly subject: string
  /** SHA-256 of the leaf's SubjectPublicKeyInfo, lower hex: whose key it is. */
  readonly spki: string
}

/** The same with all that the handshake showed beside the chain. */
export interface Observed extends Served {
  /** Who made the handshake: the prober of observe/tls, or node:tls where that could not. Then the chain is ordered by issuer. */
  readonly way: 'own' | 'node-tls'
  /** Why it was node:tls; null: it was not. */
  readonly wayReason: string | null
  readonly version: string
  /** The name of the cipher suite in IANA's registry. */
  readonly cipher: string
  /** Of the key exchange: `P-256`, `X25519`; null: not told, as for an RSA key exchange. */
  readonly group: string | null
  /** The application protocol chosen; null: none. */
  readonly alpn: string | null
  /** An OCSP response came along; null: not looked at (node:tls). */
  readonly ocspStaple: boolean | null
  /** SCTs beside the certificate, not those inside of it (RFC 6962 section 3.3); null: not looked at. */
  readonly scts: number | null
}

export const incompleteChain = 'serves an incomplete chain'

/** Why what was served is not the generation; null where it is. Leaf and chain must be the very ones, in order. */
export function servedWrong(
  served: readonly string[],
  generation: { readonly chain: readonly string[] },
): string | null {
  if (served[0] !== generation.chain[0]) {
    return `serves ${served[0]?.slice(0, 8) ?? 'nothing'}, expected ${generation.chain[0]?.slice(0, 8)}`
  }
  if (served.length < generation.chain.length) return incompleteChain
  if (generation.chain.every((fingerprint, at) => served[at] === fingerprint)) return null
  return generation.chain.every((fingerprint) => served.includes(fingerprint))
    ? 'serves its chain in another order, or with others in between'
    : 'serves another chain'
}
