/** The resources of an ACME server as they come over the wire (RFC 8555 section 7.1), as far as we read them. */

export interface Directory {
  readonly newNonce: string
  readonly newAccount: string
  readonly newOrder: string
  readonly revokeCert: string
  readonly keyChange: string
  /** RFC 9773; absent where the CA has no renewal information. */
  readonly renewalInfo?: string
  readonly meta: {
    readonly termsOfService?: string
    readonly externalAccountRequired: boolean
    /** Issuer domain names that a CAA record may hold (RFC 8555 section 9.7.6). */
    readonly caaIdentities: readonly string[]
    /** draft-ietf-acme-dns-persist-02 section 3.2; empty where the CA does not say. */
    readonly issuerDomainNames: readonly string[]
    /** The same, section 4.1. */
    readonly accountHashPrefix?: string
    /** Name to description (draft-ietf-acme-profiles). */
    readonly profiles: Readonly<Record<string, string>>
  }
}

/** RFC 8555 section 7.1.2. */
export interface Account {
  /** The `kid` of all further requests. */
  readonly url: string
  readonly status: 'valid' | 'deactivated' | 'revoked'
  readonly contact: readonly string[]
  /** Where its orders are listed (section 7.1.2.1); null where the CA does not do that. */
  readonly ordersUrl: string | null
}

/** RFC 8555 section 7.1.3. */
export interface AcmeOrder {
  readonly url: string
  readonly status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid'
  readonly expiresAtMs: number | null
  readonly names: readonly string[]
  readonly authorizations: readonly string[]
  readonly finalize: string
  readonly certificate: string | null
  readonly problem: Problem | null
  /** From Retry-After, as a duration; null where the answer had none. */
  readonly retryAfterMs: number | null
}

/** RFC 8555 section 7.1.4. */
export interface Authorization {
  readonly url: string
  readonly status: 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired' | 'revoked'
  /** Without `*.`. */
  readonly name: string
  readonly wildcard: boolean
  readonly challenges: readonly Challenge[]
  readonly retryAfterMs: number | null
}

/** RFC 8555 section 8, RFC 8737. */
export interface Challenge {
  readonly url: string
  /** `http-01`, `dns-01`, `tls-alpn-01`, `dns-persist-01`, or one that we do not know. */
  readonly type: string
  readonly status: 'pending' | 'processing' | 'valid' | 'invalid'
  readonly token: string | null
  /** Of dns-persist-01, as far as it can be read. */
  readonly persist: PersistTerms | null
  readonly problem: Problem | null
}

/** draft-ietf-acme-dns-persist-02 section 3.1, and what -00 and -01 have in its place. */
export interface PersistTerms {
  readonly issuerDomainNames: readonly [string, ...string[]]
  /** -02: the record names the account by a hash. */
  readonly hashed: boolean
  /** -01: what the record names the account by; null: its URL. */
  readonly accountUri: string | null
}

/** RFC 7807, RFC 8555 section 6.7. Its texts are the CA's: quote() them before they are shown. */
export interface Problem {
  /** Without `urn:ietf:params:acme:error:`. */
  readonly type: string
  readonly detail: string
  readonly status: number | null
  readonly subproblems: readonly (Problem & { readonly name: string | null })[]
}

/** RFC 9773 section 4.2. */
export interface RenewalInfo {
  readonly startMs: number
  readonly endMs: number
  readonly explanationUrl: string | null
  /** In what time to ask again; null where the CA did not say. RFC 9773 section 4.3.2: keep it within a minute and a day. */
  readonly retryAfterMs: number | null
}
