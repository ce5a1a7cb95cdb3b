/** A challenge to be answered (RFC 8555 section 8). */
export type Answerable = TokenChallenge | PersistentChallenge

/** Each order has another one. */
export interface TokenChallenge {
  /** The name that is to be proved, without `*.`. */
  readonly name: string
  readonly type: 'http-01' | 'dns-01' | 'tls-alpn-01'
  readonly token: string
  /** RFC 8555 section 8.1. It is public: the CA reads it from our servers. */
  readonly keyAuthorization: string
}

/** What a record says that stands for as long as its owner wants (draft-ietf-acme-dns-persist-02 section 4.1). */
export interface PersistentChallenge {
  /** Without `*.`. */
  readonly name: string
  readonly type: 'dns-persist-01'
  /** The names below it are wanted too. */
  readonly wildcard: boolean
  /** Any of them will do. */
  readonly issuerDomains: readonly [string, ...string[]]
  readonly account: AccountBinding
}

/** How a record names the account: by a hash (draft -02), or by its URL (-00 and -01). */
export type AccountBinding =
  | {
      readonly kind: 'hash'
      /** `accountHashPrefix` of the CA's directory. */
      readonly prefix: string
      readonly url: string
      /** Of the account key, and of those before it: a CA takes a record that was made with any of them. */
      readonly thumbprints: readonly [string, ...string[]]
    }
  | { readonly kind: 'url'; readonly url: string }

/** Answers the challenges of one kind; those of another are not given to it. */
export interface Solver {
  readonly type: Answerable['type']
  /** Whether there is a place at all where it could answer for this name; absent: for any. */
  fits?(name: string): boolean
  /**
   * Puts the answer where the CA will look, and looks itself, from each place where the CA may come to: when it resolves,
   * the CA can be told. Doing it twice does no harm.
   * @throws OnecertError what stands in the way, naming the server or name server and what was seen there
   */
  present(challenge: Answerable, signal: AbortSignal): Promise<void>
  /** Takes it away again, also what a present that failed left behind. Doing it twice does no harm. */
  remove(challenge: Answerable): Promise<void>
}

/**
 * Those that a name can be proved with, the first first. A wildcard is proved by DNS alone (RFC 8555 section 7.1.3 and the
 * rules of public CAs). Where none has a place for its answer, all of them: what is missing, they say best.
 * @param name without `*.`
 */
export function solversFor(solvers: readonly Solver[], name: string, wildcard: boolean): readonly Solver[] {
  const possible = solvers.filter(({ type }) => !wildcard || type === 'dns-01' || type === 'dns-persist-01')
  const fitting = possible.filter((solver) => solver.fits?.(name) ?? true)
  return fitting.length > 0 ? fitting : possible
}
