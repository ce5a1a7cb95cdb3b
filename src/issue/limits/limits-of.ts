import { letsEncrypt } from './letsencrypt.ts'
import type { RateLimits } from './limit.ts'

const known: Readonly<Record<string, RateLimits>> = {
  'acme-v02.api.letsencrypt.org': letsEncrypt,
}

/** What is known of the limits of the CA behind a directory URL; of most CAs nothing, and nothing is held back then. */
export function limitsOf(directory: string): RateLimits | null {
  const host = URL.parse(directory)?.hostname
  return host !== undefined && Object.hasOwn(known, host) ? (known[host] ?? null) : null
}
