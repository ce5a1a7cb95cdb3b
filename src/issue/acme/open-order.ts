import { nameSet } from '../../pki/names.ts'
import { type Notes, type Shelf, shelf } from '../notes.ts'
import type { Answerable } from '../solver.ts'

/**
 * An order that is under way, on disk before the CA hears of it: after a crash it is gone on with, and no second one is
 * made for the same intent (I10).
 */
export interface OpenOrder {
  /** The issuer, and its CA by the URL of its directory. */
  readonly issuer: string
  readonly directory: string
  /** URL of our account there. */
  readonly account: string
  readonly names: readonly string[]
  /** What was wanted of the key: to keep this one (its SPKI), or a new one of this type. */
  readonly keepKey: string | null
  readonly keyType: string
  /** Of the key that the certificate is for; it is in the vault. */
  readonly spki: string
  readonly profile: string | null
  /** null: it was intended. If it was `asked` for, only the CA can tell whether there is one. */
  readonly url: string | null
  readonly asked: boolean
  /** SHA-256 of the leaf, once it was received; whether it was stored, the newest generation tells. */
  readonly fingerprint: string | null
  /** Id of the certificate that it comes after, for a CA that wants to know (RFC 9773 section 5). */
  readonly replaces: string | null
  /** Answers that may lie around. */
  readonly presented: readonly Answerable[]
}

/** By lineage. */
export function openOrders(notes: Notes): Shelf<OpenOrder> {
  return shelf(notes, 'acme-order')
}

/** Whether an order that was begun serves what is wanted now. */
export function serves(
  open: OpenOrder,
  wanted: Pick<OpenOrder, 'issuer' | 'directory' | 'names' | 'profile' | 'keepKey' | 'keyType'>,
): boolean {
  return (
    open.issuer === wanted.issuer &&
    open.directory === wanted.directory &&
    open.profile === wanted.profile &&
    // A new key was wanted, or none: an order for the other one does not serve.
    open.keepKey === wanted.keepKey &&
    open.keyType === wanted.keyType &&
    nameSet(open.names) === nameSet(wanted.names)
  )
}
