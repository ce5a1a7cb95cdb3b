import { fail } from '../base/errors.ts'
import { parseCertificates, type X509 } from '../pki/certificate.ts'
import type { GenerationRow } from '../store/store.ts'

/** The leaf of a stored generation. */
export function leafOf({ chainPem, lineage, number }: GenerationRow): X509 {
  const [leaf] = parseCertificates(Buffer.from(chainPem), { file: `generation ${number} of ${lineage}` })
  return leaf ?? fail('INTERNAL', { what: `generation ${number} of ${lineage} has no leaf` })
}
