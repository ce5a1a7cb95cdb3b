import type { Certificate } from '../fleet/fleet.ts'
import { parseCertificates } from '../pki/certificate.ts'
import type { KeyType } from '../pki/key.ts'

/** What is known of the newest generation of a lineage. */
export interface Newest {
  readonly names: readonly string[]
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly keyMadeAtMs: number
  /** Leaf first. */
  readonly chainPem: string
}

export interface Need {
  /** Why a new certificate is wanted; null: the newest will do. */
  readonly reason: string | null
  /** With the key that there is. */
  readonly keepKey: boolean
}

/** The last third of a lifetime is for trying again: a renewal is due when it begins. */
const remainingShare = 1 / 3

/** Whether a lineage needs a new certificate, and whether its key may stay. Pure. */
export function renewalNeed(
  policy: Certificate,
  newest: Newest | null,
  { nowMs, force, rekey }: { readonly nowMs: number; readonly force: boolean; readonly rekey: boolean },
): Need {
  if (newest === null) return { reason: 'there is none yet', keepKey: false }
  const keepKey = !rekey && nowMs < newest.keyMadeAtMs + policy.key.keepForMs && hasKeyType(newest, policy.key.type)
  const say = (reason: string | null): Need => ({ reason, keepKey })
  if (rekey) return say('a new key was asked for')
  if (force) return say('a renewal was asked for')
  const missing = policy.names.filter((name) => !newest.names.includes(name))
  if (missing.length > 0) return say(`it does not name ${missing.join(', ')}`)
  const dueMs = newest.notAfterMs - (newest.notAfterMs - newest.notBeforeMs) * remainingShare
  return say(nowMs >= dueMs ? 'it is in the last third of its lifetime' : null)
}

function hasKeyType({ chainPem }: Newest, type: KeyType): boolean {
  const [leaf] = parseCertificates(Buffer.from(chainPem), { file: 'the newest generation' })
  return leaf?.keyType === type
}
