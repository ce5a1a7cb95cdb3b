import { createDecipheriv, createSecretKey, type DecipherGCM, type KeyObject } from 'node:crypto'
import { malformed } from './flaw.ts'
import type { TrafficKeys } from './key-schedule.ts'
import type { Suite13 } from './suites.ts'

const tagBytes = 16

/** Opens the records of one direction, in their order. */
export type Open = (header: Buffer, sealed: Buffer) => Buffer

/** RFC 8446 sections 5.2 and 5.3. */
export function opener(suite: Suite13, keys: TrafficKeys): Open {
  const nonces = noncesOf(keys.iv)
  const key = keyObject(keys)
  return (header, sealed) => {
    if (sealed.length < tagBytes) malformed('an encrypted record that is too short')
    const decipher = createDecipheriv(suite.cipher as 'aes-128-gcm', key, nonces(), options) as DecipherGCM
    decipher.setAAD(header)
    decipher.setAuthTag(sealed.subarray(-tagBytes))
    const plain = decipher.update(sealed.subarray(0, -tagBytes))
    try {
      decipher.final()
    } catch {
      malformed('a record that does not decrypt')
    }
    return plain
  }
}

const options = { authTagLength: tagBytes }

/** A Buffer as the key makes each record cost five times as much (Node 24 tries first whether it is a KeyObject, and catches). */
function keyObject({ key }: TrafficKeys): KeyObject {
  return createSecretKey(key)
}

/** The IV with the number of the record in its last bytes; a handshake has far less than 2^32 of them. */
function noncesOf(iv: Buffer): () => Buffer {
  let sequence = 0
  const last = iv.readUInt32BE(8)
  const nonce = Buffer.from(iv)
  return () => {
    nonce.writeUInt32BE((last ^ sequence++) >>> 0, 8)
    return nonce
  }
}
