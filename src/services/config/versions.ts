export type Software = 'nginx' | 'apache' | 'haproxy' | 'caddy'

/** What is known of a server's software; absent: not known. Versions as the programs print them, such as `1.22.1`. */
export interface Versions {
  readonly software?: string
  /** The library that the software runs with. */
  readonly openssl?: string
  readonly ipv6?: boolean
}

const patterns: Readonly<Record<Software, RegExp>> = {
  nginx: /^nginx nginx version: [^/ ]*\/(\d[\d.]*)/,
  apache: /^(?:apachectl|apache2|httpd) Server version: Apache\/(\d[\d.]*)/,
  haproxy: /^haproxy HA-?Proxy version (\d[\d.]*)/,
  caddy: /^caddy v?(\d[\d.]*)/,
}

/** nginx and HAProxy say which library they run with; Apache's is the one of the `openssl` command. */
const libraries: Readonly<Record<Software, readonly RegExp[]>> = {
  nginx: [/^nginx .*running with OpenSSL (\d[\d.]*)/, /^nginx built with OpenSSL (\d[\d.]*)/],
  haproxy: [/^haproxy Running on OpenSSL version : OpenSSL (\d[\d.]*)/],
  apache: [/^openssl OpenSSL (\d[\d.]*)/],
  caddy: [],
}

/** @param lines what the receiver's verb `versions` printed: the program, and what it said */
export function readVersions(lines: readonly string[], software: Software): Versions {
  const first = (pattern: RegExp) => lines.map((line) => pattern.exec(line)?.[1]).find((found) => found !== undefined)
  const version = first(patterns[software])
  const openssl = libraries[software].map(first).find((found) => found !== undefined)
  return { ...(version !== undefined && { software: version }), ...(openssl !== undefined && { openssl }) }
}

/** Null where the version is not known. */
export function atLeast(version: string | undefined, wanted: string): boolean | null {
  if (version === undefined) return null
  const [have, want] = [version, wanted].map((text) => text.split('.').map((part) => Number.parseInt(part, 10) || 0))
  for (const [at, number] of (want ?? []).entries()) {
    const difference = (have?.[at] ?? 0) - number
    if (difference !== 0) return difference > 0
  }
  return true
}
