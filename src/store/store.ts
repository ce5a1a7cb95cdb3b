/** State of the controller: one interface, a suite in test/contract that every implementation passes. */
export interface Store {
  /**
   * Appends a generation: its number is one more than the lineage's last. The newest's leaf again gives the one that is there.
   * @throws OnecertError CERT_OLDER for what would go back
   */
  addGeneration(generation: Omit<GenerationRow, 'number'>): Promise<GenerationRow>
  generations(lineage: string): Promise<GenerationRow[]>
  newestGeneration(lineage: string): Promise<GenerationRow | null>

  /**
   * One writer per lineage. The fencing token only ever grows, also over a controller that lost its state.
   * @throws OnecertError LEASE_HELD
   */
  acquireLease(
    lineage: string,
    wanted: { holder: string; nowMs: number; lifetimeMs: number },
  ): Promise<{ token: number }>
  /** @throws OnecertError LEASE_LOST, also for a lease that was given back */
  renewLease(lineage: string, token: number, until: { nowMs: number; lifetimeMs: number }): Promise<void>
  releaseLease(lineage: string, token: number): Promise<void>
  /** For who only looks: whether somebody has it now. Token 0: nobody ever had it. */
  lease(lineage: string, nowMs: number): Promise<{ readonly token: number; readonly held: boolean }>

  /** The same id again goes on with that rollout, under the token of now. */
  startRollout(rollout: Omit<RolloutRow, 'finishedAtMs' | 'outcome'>): Promise<void>
  /** Durable before it resolves. */
  setServerState(
    rollout: string,
    server: string,
    state: string,
    detail: Record<string, unknown>,
    nowMs: number,
  ): Promise<void>
  finishRollout(rollout: string, end: { finishedAtMs: number; outcome: string }): Promise<void>
  /** The generation that was last committed on each server. */
  committedGenerations(lineage: string): Promise<Map<string, number>>

  /** What was seen before the one that is kept changes nothing. */
  recordObservation(observation: ObservationRow): Promise<void>
  /** The newest of each server, name and port. */
  observations(): Promise<ObservationRow[]>

  /** Appends to the record, in one transaction: `link` gets the last row and gives the next one. */
  appendRecord(
    bodies: readonly RecordBody[],
    link: (previous: RecordRow | null, body: RecordBody) => RecordRow,
  ): Promise<RecordRow[]>
  record(): Promise<RecordRow[]>

  /** What a room keeps by kind and name: small, JSON, not secret. null where there is none. */
  note(kind: string, name: string): Promise<string | null>
  /** Reads, changes and writes in one transaction; null takes the note away. Durable before it resolves. @returns the new body */
  changeNote(kind: string, name: string, change: (body: string | null) => string | null): Promise<string | null>

  close(): Promise<void>
}

export interface GenerationRow {
  readonly lineage: string
  readonly number: number
  readonly spki: string
  /** SHA-256 of the leaf, lower hex. */
  readonly fingerprint: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly chainPem: string
  readonly names: readonly string[]
  readonly issuer: string
  readonly keyMadeAtMs: number
  readonly createdAtMs: number
}

export interface RolloutRow {
  readonly id: string
  readonly lineage: string
  readonly generation: number
  readonly token: number
  readonly startedAtMs: number
  readonly finishedAtMs: number | null
  readonly outcome: string | null
}

export interface ObservationRow {
  readonly server: string
  readonly name: string
  readonly address: string
  readonly port: number
  readonly atMs: number
  readonly vantage: 'direct' | 'forwarded' | 'on-server'
  readonly fingerprint: string | null
  readonly notAfterMs: number | null
  readonly reason: string | null
}

export interface RecordBody {
  readonly atMs: number
  /** Canonical JSON. */
  readonly body: string
}

/** One entry of the hash chain. */
export interface RecordRow extends RecordBody {
  readonly seq: number
  /** SHA-256, lower hex. */
  readonly prev: string
  readonly hash: string
}
