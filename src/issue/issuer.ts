import type { Secret } from '../base/secret.ts'
import type { Bundle } from '../pki/bundle.ts'
import type { KeyType } from '../pki/key.ts'

/** Where certificates come from. */
export interface Issuer {
  /**
   * The next certificate of a lineage, its key in the keeper before anything is asked for; null where there is nothing
   * newer than `newest`.
   * @throws OnecertError what stands in the way; nothing was stored but, at most, a key
   */
  issue(order: Order): Promise<Bundle | null>
}

/** What is wanted. */
export interface Order {
  readonly lineage: string
  readonly names: readonly string[]
  readonly keyType: KeyType
  /** SPKI of the key to keep; null for a new one. */
  readonly keepKey: string | null
  readonly nowMs: number
  /** Leaf fingerprint of the newest generation, if there is one. */
  readonly newest: string | null
  /** Leaf fingerprints of all generations: what is among them was stored, and does not come back. */
  readonly stored: readonly string[]
  /** Leaf of the newest in DER, for a CA that wants to know what is replaced (RFC 9773 section 5). */
  readonly newestDer: Uint8Array | null
  /** When the newest begins to be valid. */
  readonly newestFromMs: number | null
  /** Is told of something newer that cannot be taken yet, in one line; the newest generation stands until then. */
  readonly onWait?: (reason: string) => void
}

/** Private keys at rest; the vault is one. */
export interface KeyKeeper {
  /** Never replaces: of several that put under one name at once, the first stays. */
  put(lineage: string, key: Secret<string>, spki: string): Promise<void>
  /** @throws OnecertError VAULT_KEY_MISSING, VAULT_DAMAGED */
  get(lineage: string, spki: string): Promise<Secret<string>>
  has(lineage: string, spki: string): Promise<boolean>
  list(): Promise<readonly { readonly lineage: string; readonly spki: string }[]>
}
