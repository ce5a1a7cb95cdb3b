/** What should be, of one lineage: from the fleet file and the store. */
export interface Desired {
  readonly certificate: string
  /** null: none was issued yet. */
  readonly newest: DesiredGeneration | null
  /** The leaf (SHA-256, lower hex) of each generation, with its number. */
  readonly numbers: ReadonlyMap<string, number>
  /** By number. */
  readonly generations: ReadonlyMap<number, KnownGeneration>
  /** The SPKI of each key that the lineage ever had. */
  readonly keys: ReadonlySet<string>
}

export interface KnownGeneration {
  readonly notBeforeMs: number
  /** Why `onecert revoke` took it back, or its key; null: it did not. */
  readonly revoked: string | null
}

export interface DesiredGeneration {
  readonly number: number
  /** SHA-256 of each certificate to be served, lower hex, leaf first. */
  readonly chain: readonly string[]
  readonly spki: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** SHA-256 (lower hex) of leaf and intermediates as they lie in a file. */
  readonly chainHash: string
}

/** For people: `generation 8 (bd3a261b)`. */
export function generationText(number: number, leaf = ''): string {
  return `generation ${number} (${leaf.slice(0, 8)})`
}

/** The number in the name of a generation on a server, such as `gen-0008` or `gen-0008.2`; null: it is no such name. */
export function generationNumber(name: string | null): number | null {
  const digits = /^gen-(\d+)/.exec(name ?? '')?.[1]
  return digits === undefined ? null : Number(digits)
}
