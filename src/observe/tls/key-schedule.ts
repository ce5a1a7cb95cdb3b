import { hash as digest } from 'node:crypto'
import type { Suite13 } from './suites.ts'

export type Hash = Suite13['hash']

const hashBytes: Record<Hash, number> = { sha256: 32, sha384: 48 }
const blockBytes: Record<Hash, number> = { sha256: 64, sha384: 128 }

export function transcriptHash(hash: Hash, messages: readonly Buffer[]): Buffer {
  return hashOf(hash, Buffer.concat(messages))
}

/** As text and back: `crypto.hash` into a Buffer takes four times as long (Node 24). */
function hashOf(hash: Hash, bytes: Buffer): Buffer {
  return Buffer.from(digest(hash, bytes, 'binary'), 'latin1')
}

/** Used again by each call: a new Buffer for each costs more than the hash. */
const scratch = Buffer.alloc(512)

/**
 * RFC 2104, for keys no longer than a block, and data that fits into the scratch beside it: all that TLS 1.3 wants does.
 * createHmac takes three times as long (Node 24).
 */
export function hmac(hash: Hash, key: Buffer, data: Buffer): Buffer {
  const block = blockBytes[hash]
  pad(key, block, 0x36)
  data.copy(scratch, block)
  const inner = digest(hash, scratch.subarray(0, block + data.length), 'binary')
  pad(key, block, 0x5c)
  scratch.write(inner, block, 'latin1')
  return hashOf(hash, scratch.subarray(0, block + inner.length))
}

function pad(key: Buffer, block: number, byte: number): void {
  scratch.fill(byte, 0, block)
  for (let at = 0; at < key.length; at++) scratch[at] = (key[at] ?? 0) ^ byte
}

/** HKDF-Expand-Label of RFC 8446 section 7.1, for what fits into one block of the hash: all that TLS 1.3 wants does. */
function expandLabel(hash: Hash, secret: Buffer, label: string, context: Buffer, length: number): Buffer {
  const info = Buffer.allocUnsafe(2 + 1 + 6 + label.length + 1 + context.length + 1)
  info.writeUInt16BE(length, 0)
  info[2] = 6 + label.length
  info.write(`tls13 ${label}`, 3, 'latin1')
  info[9 + label.length] = context.length
  context.copy(info, 10 + label.length)
  // RFC 5869 section 2.3: T(1) = HMAC(PRK, info | 0x01).
  info[info.length - 1] = 1
  return hmac(hash, secret, info).subarray(0, length)
}

const nothing = Buffer.alloc(0)
const derivedOfNothing = new Map<Hash, Buffer>()

function derived(hash: Hash, secret: Buffer): Buffer {
  return expandLabel(hash, secret, 'derived', hashOf(hash, nothing), hashBytes[hash])
}

/** Handshake Secret of RFC 8446 section 7.1, without a pre-shared key. */
export function handshakeSecret(hash: Hash, exchanged: Buffer): Buffer {
  const zeros = Buffer.alloc(hashBytes[hash])
  let salt = derivedOfNothing.get(hash)
  if (salt === undefined) {
    salt = derived(hash, hmac(hash, zeros, zeros))
    derivedOfNothing.set(hash, salt)
  }
  return hmac(hash, salt, exchanged)
}

/** @param label such as `s hs traffic` */
export function trafficSecret(hash: Hash, secret: Buffer, label: string, transcript: Buffer): Buffer {
  return expandLabel(hash, secret, label, transcript, hashBytes[hash])
}

export interface TrafficKeys {
  readonly key: Buffer
  readonly iv: Buffer
}

/** RFC 8446 section 7.3. */
export function trafficKeys({ hash, keyBytes }: Suite13, secret: Buffer): TrafficKeys {
  return {
    key: expandLabel(hash, secret, 'key', nothing, keyBytes),
    iv: expandLabel(hash, secret, 'iv', nothing, 12),
  }
}

/** verify_data of Finished (RFC 8446 section 4.4.4). */
export function finishedData(hash: Hash, secret: Buffer, transcript: Buffer): Buffer {
  return hmac(hash, expandLabel(hash, secret, 'finished', nothing, hashBytes[hash]), transcript)
}
