/** First 8 hex digits of an SPKI pin or fingerprint: enough for a person to tell two apart. */
export function short(hex: string): string {
  return `${hex.slice(0, 8)}…`
}

/** A length of time in the largest unit that says it well: `3 d`, `40 min`. */
export function span(durationMs: number): string {
  const units = [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
  ] as const
  const unit = units.find(([, lengthMs]) => durationMs >= lengthMs)
  return unit ? `${Math.floor(durationMs / unit[1])} ${unit[0]}` : `${Math.max(0, Math.floor(durationMs / 1000))} s`
}

/** `2026-11-23T20:41:50Z`; never throws. */
export function instant(timeMs: number): string {
  return Number.isFinite(timeMs) && Math.abs(timeMs) <= 8.64e15
    ? new Date(timeMs).toISOString().replace(/\.\d+Z$/, 'Z')
    : 'unknown'
}

/** The same to the minute: `2026-11-23T20:41Z`. */
export function minute(timeMs: number): string {
  return `${new Date(timeMs).toISOString().slice(0, 16)}Z`
}

/** `2026-11-23`, in UTC. */
export function day(timeMs: number): string {
  return new Date(timeMs).toISOString().slice(0, 10)
}

/** `1 server`, `3 servers`. @param many where an s at the end does not make it */
export function counted(count: number, noun: string, many = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : many}`
}

/** At most `itemsMax` of a list, and how many more there are. */
export function listed(items: readonly string[], itemsMax = 10): string {
  if (items.length === 0) return 'none'
  const more = items.length - itemsMax
  return more > 0 ? `${items.slice(0, itemsMax).join(', ')} and ${more} more` : items.join(', ')
}

/** A PEM label with its article, as it is spoken: `an EC PRIVATE KEY`, `a PUBLIC KEY`. */
export function withArticle(label: string): string {
  return `${/^(E|RSA|X509)/.test(label) ? 'an' : 'a'} ${label}`
}

/** What a user writes at an issuer of the fleet file. */
export const importHints = {
  pkcs12: 'give it as a container: import: { pkcs12: FILE }',
  pem: 'give it as it is: import: { certificate: FILE, key: FILE }',
  passphrase: 'name the file that holds it as passphrase-file at the issuer in the fleet file',
} as const
