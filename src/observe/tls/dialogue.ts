import type { Presented } from './certificates.ts'
import { malformed } from './flaw.ts'
import type { Leaf } from './leaf.ts'
import type { Message } from './records.ts'

/** What a server showed and proved. */
export interface Seen extends Presented {
  readonly version: 'TLSv1.2' | 'TLSv1.3'
  /** Of the cipher suite, as IANA has it. */
  readonly cipher: string
  /** Of the key exchange: `P-256`, `X25519`, `DHE-2048`. */
  readonly group: string
  readonly alpn: string | null
  /** SHA-256 of the leaf, lower hex. */
  readonly fingerprint: string
  readonly leaf: Leaf
}

/** Yields the bytes to be sent (null: none), is resumed with the next message of the server, and ends with what was seen. */
export type Dialogue = Generator<Buffer | null, Seen, Message>

/** The messages come in a fixed order. @throws TlsFlaw */
export function expectType({ type }: Message, expected: number, name: string): void {
  if (type !== expected) malformed(`a message of type ${type} came in place of ${name}`)
}
