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
  /**
   * Puts the answer where the CA will look, and looks itself, from each place where the CA may come to: when it resolves,
   * the CA can be told. Doing it twice does no harm.
   * @throws OnecertError what stands in the way, naming the server or name server and what was seen there
   */
  present(challenge: Answerable, signal: AbortSignal): Promise<void>
  /** Takes it away again, also what a present that failed left behind. Doing it twice does no harm. */
  remove(challenge: Answerable): Promise<void>
}
