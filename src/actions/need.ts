import type { Certificate, Issuer } from '../fleet/fleet.ts'
import { type Need, renewalNeed } from '../issue/renewal.ts'
import type { RenewalState } from '../issue/renewal-state.ts'
import type { GenerationRow } from '../store/store.ts'
import type { Context } from './context.ts'
import { circumstances, nextIssuer, renewalOf } from './renewal.ts'
import { revocationOf } from './revoke.ts'

export interface LineageNeed {
  readonly newest: GenerationRow | null
  readonly renewal: RenewalState
  /** The issuer whose turn it is. */
  readonly spec: Issuer
  readonly need: Need
}

/** Whether a lineage needs a new certificate, by what is known and by what a person asks for, and from whom. */
export async function needOf(
  context: Context,
  certificate: Certificate,
  { force, rekey }: { readonly force: boolean; readonly rekey: boolean },
): Promise<LineageNeed> {
  const newest = await context.store.newestGeneration(certificate.name)
  const renewal = await renewalOf(context, certificate, newest)
  const need = renewalNeed(certificate, newest, {
    ...(await circumstances(context, certificate.name, renewal)),
    force,
    rekey,
    revoked: newest && (await revocationOf(context, newest)),
  })
  return { newest, renewal, spec: nextIssuer(context, certificate, newest, renewal), need }
}

/** A new file is the only sign that there is something new: such an issuer is asked each time. */
export function hasNewFiles({ kind }: Issuer): boolean {
  return kind !== 'local-ca' && kind !== 'acme'
}
