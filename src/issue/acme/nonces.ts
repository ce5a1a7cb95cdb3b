import type { Answer } from './transport.ts'

/** Anti-replay nonces (RFC 8555 section 6.5): each answer brings one, each signed request takes one. */
export interface Nonces {
  /** undefined: none is left, one has to be fetched. */
  take(): string | undefined
  /** Keeps the one of an answer. */
  keep(answer: Answer): void
  /** The CA refused one: those that are older than its answer are most likely old as well. */
  forget(): void
}

const keptMax = 32

export function makeNonces(): Nonces {
  let kept: string[] = []
  return {
    // The newest: CAs forget the oldest first.
    take: () => kept.pop(),
    keep: (answer) => {
      const nonce = nonceOf(answer)
      if (nonce !== undefined) kept = [...kept, nonce].slice(-keptMax)
    },
    forget: () => {
      kept = []
    },
  }
}

/** RFC 8555 section 6.5.1: one of other characters is to be ignored. */
export function nonceOf({ headers }: Answer): string | undefined {
  const nonce = headers['replay-nonce']
  return typeof nonce === 'string' && /^[A-Za-z0-9_-]+$/.test(nonce) ? nonce : undefined
}
