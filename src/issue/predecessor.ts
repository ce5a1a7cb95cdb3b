/** The certificate that a new one comes after. */
export interface Predecessor {
  /** Key identifier and serial number of RFC 9773 section 4.1. */
  readonly certificateId: string
  /** URL of the directory of the CA that issued it. */
  readonly directory: string
  /** URL of the account that it was issued to. */
  readonly account: string
  readonly names: readonly string[]
  /** Whether an order that the CA took named it as replaced already. */
  readonly replaced: boolean
}

export interface Successor {
  readonly directory: string
  readonly account: string
  readonly names: readonly string[]
  /** From the CA's directory; absent where it has no renewal information. */
  readonly renewalInfo?: string
}

/** The `replaces` of an order (RFC 9773 section 5); null: none. */
export function replacesOf(predecessor: Predecessor | null, order: Successor): string | null {
  // Section 5: only for a CA that has renewal information. Another CA cannot know the certificate.
  if (predecessor === null || order.renewalInfo === undefined || predecessor.directory !== order.directory) return null
  // Section 5: the CA checks that account, at least one name, and that no other order replaced it, and refuses otherwise.
  if (predecessor.account !== order.account || predecessor.replaced) return null
  return predecessor.names.some((name) => order.names.includes(name)) ? predecessor.certificateId : null
}
