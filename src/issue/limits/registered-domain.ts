import { isIPv6 } from 'node:net'
import { getDomain } from 'tldts'

/** Groups of an IPv6 address in a /64. */
const networkGroups = 4

/**
 * What a CA counts a name under: the part below a public suffix, also of suffixes that are somebody's own, such as
 * `github.io`. An IPv4 address stands for itself, an IPv6 address for its /64.
 */
export function registeredDomain(name: string): string {
  if (isIPv6(name)) return `${groupsOf(name).slice(0, networkGroups).join(':')}::/64`
  const bare = name.startsWith('*.') ? name.slice(2) : name
  // A name that is itself a public suffix has no part below it.
  return getDomain(bare, { allowPrivateDomains: true }) ?? bare.toLowerCase()
}

function groupsOf(address: string): string[] {
  const [head = '', tail] = address.toLowerCase().split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - left.length - right.length)
  return [...left, ...Array<string>(zeros).fill('0'), ...right].map((group) => group.replace(/^0+(?=.)/, ''))
}
