/** One TXT value to publish. */
export interface TxtRecord {
  /** Absolute, no trailing dot. */
  readonly name: string
  readonly value: string
}

/** Where TXT records of a zone are written. */
export interface DnsProvider {
  /**
   * Adds the value beside others at the same name: two names of one order may need both. Doing it twice does no harm.
   * @throws OnecertError what stands in the way
   */
  add(record: TxtRecord, signal: AbortSignal): Promise<void>
  /** Removes this value and no other. Doing it twice does no harm. */
  remove(record: TxtRecord, signal: AbortSignal): Promise<void>
}

/** RFC 8555 section 8.4 asks for no lifetime; a short one lets a wrong value go soon. */
export const txtTtlS = 60
