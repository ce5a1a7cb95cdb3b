/** TLS 1.3 hellos with post-quantum key shares span TCP segments, and may span records. */
export const helloBytesMax = 65_536

export type HelloReading =
  | { readonly kind: 'more' }
  | { readonly kind: 'name'; readonly name: string | null }
  | { readonly kind: 'not-tls' }

const handshakeRecord = 22
const clientHello = 1
const serverNameExtension = 0

/** The server name that a ClientHello asks for (RFC 8446 section 4.1.2, RFC 6066 section 3), from the bytes so far. */
export function readServerName(bytes: Buffer): HelloReading {
  const fragments: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    if (bytes[at] !== handshakeRecord) return { kind: 'not-tls' }
    if (bytes.length < at + 5) return { kind: 'more' }
    const length = bytes.readUInt16BE(at + 3)
    fragments.push(bytes.subarray(at + 5, Math.min(at + 5 + length, bytes.length)))
    at += 5 + length
  }
  const message = Buffer.concat(fragments)
  if (message.length < 4) return { kind: 'more' }
  if (message[0] !== clientHello) return { kind: 'not-tls' }
  const length = message.readUIntBE(1, 3)
  if (length > helloBytesMax) return { kind: 'not-tls' }
  if (message.length < 4 + length) return { kind: 'more' }
  try {
    return { kind: 'name', name: nameIn(message.subarray(4, 4 + length)) }
  } catch {
    return { kind: 'not-tls' }
  }
}

function nameIn(hello: Buffer): string | null {
  let at = 2 + 32
  at += 1 + hello.readUInt8(at)
  at += 2 + hello.readUInt16BE(at)
  at += 1 + hello.readUInt8(at)
  const end = at + 2 + hello.readUInt16BE(at)
  at += 2
  while (at + 4 <= end) {
    const type = hello.readUInt16BE(at)
    const length = hello.readUInt16BE(at + 2)
    if (type === serverNameExtension) return hello.toString('ascii', at + 9, at + 9 + hello.readUInt16BE(at + 7))
    at += 4 + length
  }
  return null
}
