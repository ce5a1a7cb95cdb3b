import { writtenName } from './delegation.ts'
import { type PropagationSettings, untilPublished } from './propagation.ts'
import type { TxtRecord } from './provider/provider.ts'

export interface PersistentProof {
  /** With or without `*.`. */
  readonly name: string
  /** As the challenge or the directory of the CA tells it. */
  readonly issuerDomain: string
  /** The account URL: an account key that is replaced changes nothing here. */
  readonly accountUri: string
  /** Also for `*.` and all names below. */
  readonly wildcard: boolean
}

/** The record that proves a name for as long as it stands (draft-ietf-acme-dns-persist): it is written once, by hand. Pure. */
export function persistentRecord({ name, issuerDomain, accountUri, wildcard }: PersistentProof): TxtRecord {
  const parameters = [`accounturi=${accountUri}`, ...(wildcard ? ['policy=wildcard'] : [])]
  return {
    name: `_validation-persist.${name.replace(/^\*\./, '')}`,
    value: [issuerDomain, ...parameters].join('; '),
  }
}

/**
 * That every authoritative server shows it now, word for word.
 * @throws OnecertError DNS_NOT_PROPAGATED, DNS_ZONE_NOT_FOUND, DNS_CNAME_LOOP, DNS_UNREACHABLE
 */
export async function requirePersistentRecord(
  proof: PersistentProof,
  settings: PropagationSettings,
  signal: AbortSignal,
): Promise<void> {
  const { name, value } = persistentRecord(proof)
  const record = { name: await writtenName(name, settings.resolver, signal), value }
  await untilPublished(record, { ...settings, withinMs: 0 }, signal)
}
