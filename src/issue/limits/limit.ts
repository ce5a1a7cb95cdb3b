/**
 * One rate limit of a CA, a bucket: it holds `count`, and one comes back each `windowMs / count`. Each of `per` has a
 * bucket of its own.
 */
export interface Limit {
  readonly name: string
  readonly count: number
  readonly windowMs: number
  /** What takes one out. */
  readonly counts: 'certificates' | 'orders' | 'failed authorizations' | 'accounts'
  readonly per: 'registered domain' | 'set of names' | 'name' | 'account' | 'address'
  /** Orders that are let through though it is reached: `ari`, with `replaces`; `renewal`, of the exact set of names. */
  readonly lets: readonly ('ari' | 'renewal')[]
  /** Whether a success makes it full again. */
  readonly forgets: boolean
}

/** The limits of one CA, as it published them. */
export interface RateLimits {
  /** Date of the page, ISO 8601. */
  readonly asOf: string
  readonly source: string
  readonly limits: readonly Limit[]
}
