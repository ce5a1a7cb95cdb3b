/** A challenge to be answered (RFC 8555 section 8). */
export interface Answerable {
  /** The name that is to be proved, without `*.`. */
  readonly name: string
  readonly type: 'http-01' | 'dns-01' | 'tls-alpn-01'
  readonly token: string
  /** RFC 8555 section 8.1. It is public: the CA reads it from our servers. */
  readonly keyAuthorization: string
}

/** Answers the challenges of one kind. */
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
  const possible = solvers.filter(({ type }) => !wildcard || type === 'dns-01')
  const fitting = possible.filter((solver) => solver.fits?.(name) ?? true)
  return fitting.length > 0 ? fitting : possible
}
