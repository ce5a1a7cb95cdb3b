/** Medians of runs that took turns. */
export interface Comparison {
  readonly bench: string
  readonly ours: number
  readonly peer: string
  readonly theirs: number
  readonly unit: string
  /** Theirs by ours: above 1 we are better. */
  readonly ratio: number
  /** Of the peer; ours ran beside each. */
  readonly runs: number
  /** The range of all our runs and of all theirs, by the median; the wider of both. */
  readonly spread: number
}

export function compare(measured: {
  readonly bench: string
  readonly peer: string
  readonly unit: string
  readonly ours: readonly number[]
  readonly theirs: readonly number[]
}): Comparison {
  const { bench, peer, unit } = measured
  const [ours, theirs] = [median(measured.ours), median(measured.theirs)]
  const range = (values: readonly number[]) => (Math.max(...values) - Math.min(...values)) / median(values)
  return {
    bench,
    ours: rounded(ours),
    peer,
    theirs: rounded(theirs),
    unit,
    ratio: rounded(theirs / ours),
    runs: measured.theirs.length,
    spread: rounded(Math.max(range(measured.ours), range(measured.theirs))),
  }
}

export function line({ bench, ours, peer, theirs, unit, ratio, runs, spread }: Comparison): string {
  const mark = ratio >= 1 ? 'faster' : 'slower'
  return (
    `${bench.padEnd(16)} ours ${String(ours).padStart(7)} ${unit}   ${peer.padEnd(10)} ${String(theirs).padStart(7)} ${unit}   ` +
    `${ratio.toFixed(2).padStart(6)}x ${mark}   ${runs} runs, spread ${Math.round(spread * 100)} %`
  )
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  const [low = Number.NaN, high = Number.NaN] = [sorted[Math.ceil(middle) - 1], sorted[Math.floor(middle)]]
  return (low + high) / 2
}

export function rounded(value: number): number {
  return Number(value.toPrecision(3))
}
