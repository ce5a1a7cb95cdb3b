import { createHash } from 'node:crypto'
import type { Secret } from '../base/secret.ts'
import { Secret as SecretValue } from '../base/secret.ts'

/** The generation that a rollout carries: what must be on disk and on the wire at its end. */
export interface Generation {
  readonly lineage: string
  readonly number: number
  /** SHA-256 of the SubjectPublicKeyInfo, lower hex. */
  readonly spki: string
  /** SHA-256 of the leaf, lower hex. */
  readonly fingerprint: string
  /** SHA-256 of each certificate that must be served, lower hex, leaf first. */
  readonly chain: readonly string[]
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Leaf and intermediates, in sending order. */
  readonly chainPem: string
  readonly keyPem: Secret<string>
}

/** SHA-256 (lower hex) of the bytes that the files on a server must have. */
export interface FileHashes {
  readonly chain: string
  readonly key: string
  readonly combined: string
}

export function fileHashes({ chainPem, keyPem }: Generation): FileHashes {
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  const combined = new SecretValue(chainPem + keyPem.reveal())
  return { chain: hash(chainPem), key: hash(keyPem.reveal()), combined: hash(combined.reveal()) }
}

/** `gen-0008`, the first name of a generation on a server that is not taken there. */
export function generationName(number: number, taken: readonly string[]): string {
  const name = `gen-${String(number).padStart(4, '0')}`
  if (!taken.includes(name)) return name
  for (let copy = 2; ; copy++) {
    if (!taken.includes(`${name}.${copy}`)) return `${name}.${copy}`
  }
}
