import { fail } from '../base/errors.ts'
import { acmeProblemOf } from '../issue/acme/problem.ts'
import { openRegistered } from '../issue/acme/registration.ts'
import { shelf } from '../issue/notes.ts'
import type { GenerationRow } from '../store/store.ts'
import { accountLease, acmeIssuerOf, acmeTools } from './account.ts'
import { leafOf } from './chain.ts'
import { chosenCertificates } from './choice.ts'
import type { Context } from './context.ts'
import { withLeases } from './lease.ts'

/** Reasons that a subscriber may give (RFC 5280 section 5.3.1, and what the rules of public CAs leave of it). */
export const revocationReasons = {
  unspecified: 0,
  keyCompromise: 1,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
} as const
export type RevocationReason = keyof typeof revocationReasons

export interface Revoked {
  readonly certificate: string
  readonly generation: number
  readonly fingerprint: string
  readonly issuer: string
}

/** By leaf fingerprint. */
const revocations = (context: Context) => shelf<RevocationReason>(context.store, 'revoked')
/** By SPKI: a key that others may know is not kept, whatever certificate it is in. */
const compromises = (context: Context) => shelf<true>(context.store, 'compromised')

/** Revokes one generation at the CA that issued it; what servers serve is changed by the next apply. */
export async function revoke(
  context: Context,
  lineage: string,
  { reason, generation }: { readonly reason: RevocationReason; readonly generation?: number },
): Promise<Revoked> {
  chosenCertificates(context.fleet, { certificates: [lineage] })
  const { store, ledger } = context
  const row = (await store.generations(lineage)).findLast(
    ({ number }) => generation === undefined || number === generation,
  )
  if (!row)
    fail('USAGE', {
      what:
        generation === undefined
          ? `nothing was issued for ${lineage} yet`
          : `${lineage} has no generation ${generation}`,
    })
  const spec = acmeIssuerOf(context, row.issuer)
  const { fingerprint, spki, number } = row
  await withLeases(context, [lineage, accountLease(spec.name)], async () => {
    const client = await openRegistered(spec, await acmeTools(context))
    const fields = { effect: 'revoke', lineage, generation: number, fingerprint, spki, reason } as const
    // Before the CA hears of it: whatever becomes of this, such a key is not kept.
    if (reason === 'keyCompromise') await compromises(context).write(spki, true)
    await ledger.effect(fields, () =>
      client.revoke(leafOf(row).der, revocationReasons[reason]).catch((error: unknown) => {
        // The answer to an earlier request was lost: it is as it was to be (RFC 8555 section 7.6).
        if (acmeProblemOf(error)?.problem.type !== 'alreadyRevoked') throw error
      }),
    )
    await revocations(context).write(fingerprint, reason)
  })
  return { certificate: lineage, generation: number, fingerprint, issuer: spec.name }
}

/** Why a generation is not to be used any more; null: it may be. */
export async function revocationOf(
  context: Context,
  { fingerprint, spki }: GenerationRow,
): Promise<RevocationReason | null> {
  if (await compromises(context).read(spki)) return 'keyCompromise'
  return revocations(context).read(fingerprint)
}
