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

/** What is more than one figure for each: a table. */
export interface Trial {
  readonly name: string
  /** Times where nothing else is asked for. */
  readonly runs: number
  readonly packages: readonly DebianPackage[]
  /** Titles of the columns, as the table of the README has them; texts stand left. */
  readonly columns: readonly { readonly title: string; readonly text?: true }[]
  tries(runs: number, say: (text: string) => void): AsyncGenerator<Tried>
}

export interface Tried {
  readonly cells: readonly (string | number)[]
  /** The same for machines, and what has no room in the table. */
  readonly found: Readonly<Record<string, unknown>>
}
