import type { OnecertError } from '../base/errors.ts'
import { type Choice, chosenCertificates } from './choice.ts'
import type { Context } from './context.ts'
import { type IssueOptions, issueCertificate } from './issue.ts'
import { withLease } from './lease.ts'
import { eachInTurn } from './turns.ts'

export interface Issued {
  readonly certificate: string
  readonly generation: number
  /** Why it was issued now; null: it was there. */
  readonly reason: string | null
  readonly notAfterMs: number
  /** A new one is wanted and could not be had. */
  readonly failure: OnecertError | null
}

/** What is due, into the vault; one certificate that fails stops no other one. */
export async function issueAll(
  context: Context,
  options: Choice & IssueOptions,
): Promise<{ readonly issued: Issued[]; readonly stopped: OnecertError | null }> {
  const issued: Issued[] = []
  const stopped = await eachInTurn(chosenCertificates(context.fleet, options), context.signal, (certificate) =>
    withLease(context, certificate.name, async (_, signal) => {
      const {
        generation,
        issued: reason,
        failure,
      } = await issueCertificate({ ...context, signal }, certificate, options)
      issued.push({
        certificate: certificate.name,
        generation: generation.number,
        reason,
        notAfterMs: generation.notAfterMs,
        failure,
      })
    }),
  )
  return { issued, stopped }
}
