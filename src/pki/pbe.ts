import { createCipheriv, createDecipheriv, createHash, hash, pbkdf2Sync, randomBytes, scryptSync } from 'node:crypto'
import forge from 'node-forge'
import type { Secret } from '../base/secret.ts'
import {
  type Der,
  integer,
  isInteger,
  members,
  nothing,
  number,
  objectId,
  octetString,
  octets,
  oid,
  sequence,
} from './der.ts'

/** Why a password-encrypted part was not opened. Bad padding is reported as a wrong password: nothing tells them apart. */
export class PbeError extends Error {
  readonly reason: 'wrong-password' | 'unsupported' | 'too-costly'

  constructor(reason: PbeError['reason'], message: string, cause?: unknown) {
    super(message, { cause })
    this.reason = reason
  }
}

/** Hash rounds that one input may still cost us: an iteration count comes from outside and would stop the program. */
export interface RoundBudget {
  rounds: number
}

/** Java and Windows write up to 600,000 rounds; 10 million take some seconds. */
export const newRoundBudget = (): RoundBudget => ({ rounds: 10_000_000 })

/** A password in the two encodings that the standards use. */
export interface PasswordBytes {
  /** RFC 8018. */
  readonly utf8: Buffer
  /** RFC 7292 appendix B.1: UTF-16BE with two zero bytes at the end. */
  readonly bmp: Buffer
}

export function passwordBytes(password: Secret<string>): PasswordBytes {
  const text = password.reveal()
  return { utf8: Buffer.from(text), bmp: Buffer.from(`${text}\0`, 'utf16le').swap16() }
}

/** No password at all, which RFC 7292 writers treat otherwise than an empty one. */
export const noPassword: PasswordBytes = { utf8: Buffer.alloc(0), bmp: Buffer.alloc(0) }

const prfs: Record<string, string> = {
  '1.2.840.113549.2.7': 'sha1',
  '1.2.840.113549.2.8': 'sha224',
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
}

const ciphers: Record<string, { readonly name: string; readonly keyBytes: number }> = {
  '2.16.840.1.101.3.4.1.2': { name: 'aes-128-cbc', keyBytes: 16 },
  '2.16.840.1.101.3.4.1.22': { name: 'aes-192-cbc', keyBytes: 24 },
  '2.16.840.1.101.3.4.1.42': { name: 'aes-256-cbc', keyBytes: 32 },
  '1.2.840.113549.3.7': { name: 'des-ede3-cbc', keyBytes: 24 },
}

/** RFC 7292 appendix C; `rc2` is the number of effective key bits. */
const legacyCiphers: Record<string, { readonly keyBytes: number; readonly rc2?: number }> = {
  '1.2.840.113549.1.12.1.3': { keyBytes: 24 },
  '1.2.840.113549.1.12.1.4': { keyBytes: 16 },
  '1.2.840.113549.1.12.1.5': { keyBytes: 16, rc2: 128 },
  '1.2.840.113549.1.12.1.6': { keyBytes: 5, rc2: 40 },
}

const pbes2 = '1.2.840.113549.1.5.13'
const pbkdf2 = '1.2.840.113549.1.5.12'
const scrypt = '1.3.6.1.4.1.11591.4.11'
const tripleDesPbe = '1.2.840.113549.1.12.1.3'

/** Opens `data` as its AlgorithmIdentifier says (RFC 8018 PBES2, RFC 7292 PBE). Throws PbeError or DerError. */
export function decryptPbe(algorithm: Der, data: Uint8Array, password: PasswordBytes, budget: RoundBudget): Buffer {
  const [name, parameters] = members(algorithm)
  if (oid(name) === pbes2) return decryptPbes2(members(parameters), data, password, budget)
  const cipher = legacyCiphers[oid(name)]
  if (!cipher) throw new PbeError('unsupported', `encryption ${oid(name)}`)
  const [salt, rounds] = members(parameters)
  const derive = (id: 1 | 2, length: number) =>
    pkcs12Kdf('sha1', id, password.bmp, octets(salt), integer(rounds), length, budget)
  const key = derive(1, cipher.keyBytes)
  const iv = derive(2, 8)
  if (cipher.rc2) return decryptRc2(key, iv, cipher.rc2, data)
  return decryptBlocks('des-ede3-cbc', key.length === 16 ? Buffer.concat([key, key.subarray(0, 8)]) : key, iv, data)
}

function decryptPbes2(
  parameters: readonly Der[],
  data: Uint8Array,
  password: PasswordBytes,
  budget: RoundBudget,
): Buffer {
  const [derivation, encryption] = parameters.map(members)
  const cipherName = oid(encryption?.[0])
  const cipher = ciphers[cipherName]
  if (!cipher) throw new PbeError('unsupported', `cipher ${cipherName}`)
  const key = deriveKey(oid(derivation?.[0]), members(derivation?.[1]), cipher.keyBytes, password, budget)
  return decryptBlocks(cipher.name, key, octets(encryption?.[1]), data)
}

function deriveKey(
  name: string,
  parameters: readonly Der[],
  length: number,
  password: PasswordBytes,
  budget: RoundBudget,
): Buffer {
  const [salt, cost, ...rest] = parameters
  if (name === pbkdf2) {
    spend(budget, integer(cost))
    const prf = rest.find((element) => !isInteger(element))
    const digest = prf ? prfs[oid(members(prf)[0])] : 'sha1'
    if (!digest) throw new PbeError('unsupported', 'pseudorandom function of PBKDF2')
    return pbkdf2Sync(password.utf8, octets(salt), Math.max(1, integer(cost)), length, digest)
  }
  if (name !== scrypt) throw new PbeError('unsupported', `key derivation ${name}`)
  const [N, r, p] = [integer(cost), integer(rest[0]), integer(rest[1])]
  spend(budget, N * r * p)
  try {
    return scryptSync(password.utf8, octets(salt), length, { N, r, p, maxmem: 128 * 1024 * 1024 })
  } catch (cause) {
    throw new PbeError('too-costly', 'scrypt parameters', cause)
  }
}

/** Ends with an error, and not with a program that hangs, where the file asks for too much. */
function spend(budget: RoundBudget, rounds: number): void {
  budget.rounds -= rounds
  if (budget.rounds < 0) throw new PbeError('too-costly', `${rounds} hash rounds`)
}

/** RFC 7292 appendix B.2. `id`: 1 key, 2 initialisation vector, 3 MAC key. */
export function pkcs12Kdf(
  digest: string,
  id: 1 | 2 | 3,
  password: Uint8Array,
  salt: Uint8Array,
  rounds: number,
  length: number,
  budget: RoundBudget,
): Buffer {
  const blockBytes = digest === 'sha384' || digest === 'sha512' ? 128 : 64
  const input = Buffer.concat([filled(salt, blockBytes), filled(password, blockBytes)])
  const made: Buffer[] = []
  for (let have = 0; have < length; ) {
    // Five times dearer than a round of PBKDF2, which runs in C.
    spend(budget, rounds * 5)
    let block = createHash(digest).update(Buffer.alloc(blockBytes, id)).update(input).digest()
    for (let round = 1; round < rounds; round++) block = hash(digest, block, 'buffer')
    made.push(block)
    have += block.length
    addToEach(input, filled(block.subarray(0, blockBytes), blockBytes).subarray(0, blockBytes))
  }
  return Buffer.concat(made).subarray(0, length)
}

/** Repeated up to a whole number of blocks; nothing stays nothing. */
function filled(bytes: Uint8Array, blockBytes: number): Buffer {
  return bytes.length === 0 ? Buffer.alloc(0) : Buffer.alloc(Math.ceil(bytes.length / blockBytes) * blockBytes, bytes)
}

/** Step 6C: each block of `input` becomes itself + `addend` + 1, modulo its size. */
function addToEach(input: Buffer, addend: Buffer): void {
  for (let start = 0; start < input.length; start += addend.length) {
    let carry = 1
    for (let at = addend.length - 1; at >= 0; at--) {
      carry += (input[start + at] ?? 0) + (addend[at] ?? 0)
      input[start + at] = carry & 0xff
      carry >>= 8
    }
  }
}

function decryptBlocks(cipher: string, key: Uint8Array, iv: Uint8Array, data: Uint8Array): Buffer {
  try {
    const decipher = createDecipheriv(cipher, key, iv)
    return Buffer.concat([decipher.update(data), decipher.final()])
  } catch (cause) {
    throw new PbeError('wrong-password', 'bad padding', cause)
  }
}

/** OpenSSL keeps RC2 in its legacy provider, which Node does not load. Read only. */
function decryptRc2(key: Buffer, iv: Buffer, bits: number, data: Uint8Array): Buffer {
  const decipher = forge.rc2.createDecryptionCipher(key.toString('latin1'), bits)
  decipher.start(iv.toString('latin1'))
  decipher.update(forge.util.createBuffer(Buffer.from(data).toString('latin1')))
  if (!decipher.finish()) throw new PbeError('wrong-password', 'bad padding')
  return Buffer.from(decipher.output.getBytes(), 'latin1')
}

/** RFC 1421 headers of old OpenSSL: `DEK-Info: AES-256-CBC,<iv>`; the key is MD5 of password and salt. */
export function decryptLegacyPem(dekInfo: string, data: Uint8Array, password: PasswordBytes): Buffer {
  const [, cipher = '', ivHex = ''] = /^DEK-Info:\s*([A-Z0-9-]+),([0-9A-F]+)$/i.exec(dekInfo) ?? []
  const known = Object.values(ciphers).find(({ name }) => name === cipher.toLowerCase())
  if (!known) throw new PbeError('unsupported', `cipher ${cipher}`)
  const iv = Buffer.from(ivHex, 'hex')
  let key = Buffer.alloc(0)
  for (let block = Buffer.alloc(0); key.length < known.keyBytes; key = Buffer.concat([key, block])) {
    block = createHash('md5').update(block).update(password.utf8).update(iv.subarray(0, 8)).digest()
  }
  return decryptBlocks(known.name, key.subarray(0, known.keyBytes), iv, data)
}

/** An AlgorithmIdentifier and what it encrypts. */
export interface Encrypted {
  readonly algorithm: Der
  readonly data: Uint8Array
}

/** PBES2: PBKDF2 with HMAC-SHA-256, AES-256-CBC. */
export function encryptModern(data: Uint8Array, password: PasswordBytes, rounds: number): Encrypted {
  const salt = randomBytes(16)
  const iv = randomBytes(16)
  const cipher = createCipheriv('aes-256-cbc', pbkdf2Sync(password.utf8, salt, rounds, 32, 'sha256'), iv)
  const prf = sequence(objectId('1.2.840.113549.2.9'), nothing())
  const derivation = sequence(objectId(pbkdf2), sequence(octetString(salt), number(rounds), prf))
  const encryption = sequence(objectId('2.16.840.1.101.3.4.1.42'), octetString(iv))
  return {
    algorithm: sequence(objectId(pbes2), sequence(derivation, encryption)),
    data: Buffer.concat([cipher.update(data), cipher.final()]),
  }
}

/** pbeWithSHAAnd3-KeyTripleDES-CBC: all that Windows before 2019 and Java before 8u301 read. */
export function encryptLegacy(data: Uint8Array, password: PasswordBytes, rounds: number): Encrypted {
  const salt = randomBytes(8)
  const derive = (id: 1 | 2, length: number) =>
    pkcs12Kdf('sha1', id, password.bmp, salt, rounds, length, newRoundBudget())
  const cipher = createCipheriv('des-ede3-cbc', derive(1, 24), derive(2, 8))
  return {
    algorithm: sequence(objectId(tripleDesPbe), sequence(octetString(salt), number(rounds))),
    data: Buffer.concat([cipher.update(data), cipher.final()]),
  }
}
