/** What a receiver found when a rollout began there (receiver/, `begin`). `-` is said as null. */
export interface Found {
  /** Where `current` points to. */
  readonly current: string | null
  /** A generation whose bytes are those that we want. */
  readonly match: string | null
  /** A generation that holds our key. */
  readonly held: string | null
  /** A swap of an earlier session that nobody confirmed: now under our guard. */
  readonly unconfirmed: string | null
  /** Files at the explicit paths are not ours yet. */
  readonly adoptable: boolean
  /** All explicit paths are links of ours. */
  readonly linked: boolean
  readonly have: readonly string[]
  /** The session ticket keys that are linked: their name there, and their SHA-256. */
  readonly tickets: { readonly set: string; readonly hash: string } | null
  /** The server's clock. */
  readonly clockMs: number
}

export type Decision =
  /** Bring what is at the explicit paths under a generation first, then look again. */
  | { readonly kind: 'adopt' }
  /** An unconfirmed swap to something that we do not want: undo it, then look again. */
  | { readonly kind: 'undo' }
  /** The right generation is swapped in, unconfirmed: go on behind the swap. */
  | { readonly kind: 'resume'; readonly generation: string }
  /** The right generation is there: test, swap, reload, verify. */
  | { readonly kind: 'swap'; readonly generation: string }
  /** Write the generation, with the key that the server holds or with the key sent. */
  | { readonly kind: 'stage'; readonly reuse: string | null }

/** The next thing to do at one server. Pure. */
export function decide(found: Found): Decision {
  if (found.unconfirmed !== null && found.unconfirmed !== found.match) return { kind: 'undo' }
  if (found.adoptable) return { kind: 'adopt' }
  if (found.match !== null && found.unconfirmed === found.match) return { kind: 'resume', generation: found.match }
  if (found.match !== null) return { kind: 'swap', generation: found.match }
  return { kind: 'stage', reuse: found.held }
}
