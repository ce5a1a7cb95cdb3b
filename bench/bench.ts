import type { DebianPackage } from '../test/packages.ts'

/** One thing that is measured: what we do, and what others do for the same end. */
export interface Bench {
  readonly name: string
  /** Of the figures; less is better. */
  readonly unit: string
  /** Rounds where nothing else is asked for. */
  readonly runs: number
  /** Peers come from Debian, as the tests' packages do. */
  readonly packages: readonly DebianPackage[]
  prepare(say: (text: string) => void): Promise<Contest>
}

export interface Contest extends AsyncDisposable {
  readonly variants: readonly Variant[]
}

export interface Variant {
  /** Empty where there is one only. */
  readonly variant: string
  /** Does it once and returns the figure. Throws where the result is not there: speed without it counts nothing. */
  readonly ours: () => Promise<number>
  readonly peers: Readonly<Record<string, () => Promise<number>>>
}

/** Something whose failures are counted while it is done again and again: a median would hide them. */
export interface Trial {
  readonly name: string
  /** Times where nothing else is asked for. */
  readonly runs: number
  readonly packages: readonly DebianPackage[]
  tries(runs: number, say: (text: string) => void): AsyncGenerator<Tried>
}

export interface Tried {
  readonly topology: string
  readonly way: string
  readonly rotations: number
  readonly fresh: { readonly done: number; readonly failed: number }
  readonly kept: { readonly done: number; readonly failed: number }
  /** From the start of a rotation until each server shows the new certificate: the median. */
  readonly seenMs: number
}
