import { createHash } from 'node:crypto'
import type { Secret } from '../base/secret.ts'
import type { FileLayout } from '../fleet/fleet.ts'

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
  /** Of the file that tells generations apart: that of the chain in a pair, else the combined one. */
  readonly byLayout: Readonly<Record<FileLayout, string>>
}

export function fileHashes({ chainPem, keyPem }: Generation): FileHashes {
  const hash = (...texts: readonly string[]) => {
    const sum = createHash('sha256')
    for (const text of texts) sum.update(text)
    return sum.digest('hex')
  }
  const key = keyPem.reveal()
  const chain = hash(chainPem)
  return {
    chain,
    key: hash(key),
    byLayout: { pair: chain, combined: hash(chainPem, key), 'key-first': hash(key, chainPem) },
  }
}

/** `gen-0008`, the first name of a generation on a server that is not taken there. */
export function generationName(number: number, taken: readonly string[]): string {
  const name = `gen-${String(number).padStart(4, '0')}`
  if (!taken.includes(name)) return name
  for (let copy = 2; ; copy++) {
    if (!taken.includes(`${name}.${copy}`)) return `${name}.${copy}`
  }
}
