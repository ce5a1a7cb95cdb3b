const unitsMs: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Milliseconds of a duration such as `30d`, `12h`, `90m` or `120s`; null where it is none. */
export function parseDuration(text: string): number | null {
  const [, digits, unit] = /^(\d{1,6})(ms|s|m|h|d)$/.exec(text) ?? []
  const unitMs = unit === undefined ? undefined : unitsMs[unit]
  return digits === undefined || unitMs === undefined ? null : Number(digits) * unitMs
}

/** The shortest way to write it with one unit. */
export function formatDuration(durationMs: number): string {
  const [unit = 'ms', unitMs = 1] =
    Object.entries(unitsMs)
      .reverse()
      .find(([, each]) => durationMs >= each && durationMs % each === 0) ?? []
  return `${durationMs / unitMs}${unit}`
}
