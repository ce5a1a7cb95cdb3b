import { fail } from '../base/errors.ts'
import { parseCertificates, type X509 } from '../pki/certificate.ts'
import type { GenerationRow } from '../store/store.ts'

type Stored = Pick<GenerationRow, 'lineage' | 'number' | 'chainPem'>

/** Leaf and intermediates of a stored generation. @throws OnecertError PEM_* where the store is damaged */
export function chainOf({ lineage, number, chainPem }: Stored): X509[] {
  return parseCertificates(Buffer.from(chainPem), { file: `generation ${number} of ${lineage}` })
}

/** SHA-256 of each, lower hex, leaf first: what has to be served. */
export function fingerprintsOf(stored: Stored): string[] {
  return chainOf(stored).map(({ fingerprint }) => fingerprint)
}

export function leafOf(stored: Stored): X509 {
  const [leaf] = chainOf(stored)
  return leaf ?? fail('INTERNAL', { what: `generation ${stored.number} of ${stored.lineage} has no leaf` })
}
