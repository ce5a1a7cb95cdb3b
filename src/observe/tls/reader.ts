import { malformed } from './flaw.ts'

/**
 * Reads the vectors of RFC 8446 section 3.4 one after the other; each read throws TlsFlaw where the bytes end too early. A
 * class: with closures the readers of a look are a third of all that it allocates.
 */
export class Reader {
  readonly #bytes: Buffer
  readonly #name: string
  #at = 0

  /** @param name of what is read, for errors */
  constructor(bytes: Buffer, name: string) {
    this.#bytes = bytes
    this.#name = name
  }

  get left(): number {
    return this.#bytes.length - this.#at
  }

  uint8(): number {
    return this.#bytes.readUInt8(this.#pass(1))
  }

  uint16(): number {
    return this.#bytes.readUInt16BE(this.#pass(2))
  }

  bytes(length: number): Buffer {
    const from = this.#pass(length)
    return this.#bytes.subarray(from, this.#at)
  }

  /** A vector that says its length in so many bytes. */
  vector(lengthBytes: 1 | 2 | 3): Buffer {
    return this.bytes(this.#bytes.readUIntBE(this.#pass(lengthBytes), lengthBytes))
  }

  /** @throws TlsFlaw where something is left */
  end(): void {
    if (this.left > 0) malformed(`${this.#name} has ${this.left} bytes too many`)
  }

  #pass(count: number): number {
    if (count > this.left) malformed(`${this.#name} ends too early`)
    this.#at += count
    return this.#at - count
  }
}
