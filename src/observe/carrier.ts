import { connect, type OnReadOpts } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Endpoint } from './endpoint.ts'

/** The stream that one handshake goes over. */
export interface Carrier {
  readonly stream: Duplex
  /** The bytes that come from now on, each piece for the reader to keep. */
  listen(read: (piece: Buffer) => void): void
}

/** A stream that leads to the endpoint already, or a TCP connection: for anybody who reads it as a stream. */
export function plainCarrier({ address, port }: Endpoint, given: Duplex | undefined): Carrier {
  const stream = given ?? connect({ host: address, port })
  return { stream, listen: (read) => void stream.on('data', read).resume() }
}

/** All sockets read into it, which costs less than a buffer each: what came is copied before the next one reads. */
const shared = Buffer.allocUnsafeSlow(65_536)

/** A TCP connection without what makes a socket a stream to read from. */
export function bareCarrier({ address, port }: Endpoint): Carrier {
  let reader: ((piece: Buffer) => void) | undefined
  const onread: OnReadOpts = {
    buffer: shared,
    callback(bytes, buffer) {
      reader?.(Buffer.from(buffer.subarray(0, bytes)))
      return true
    },
  }
  const stream = connect({ host: address, port, onread })
  return {
    stream,
    listen: (read) => {
      reader = read
    },
  }
}
