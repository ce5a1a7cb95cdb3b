import { lookup } from 'node:dns'
import { BlockList, isIP, type LookupFunction } from 'node:net'

/** What is not globally reachable of the IANA special-purpose registry (RFC 6890), and multicast. */
const privateIpv4 = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
] as const

/** Within 2000::/3, which is all that is given out (RFC 4291 section 2.4): Teredo, documentation, 6to4. */
const privateIpv6 = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
] as const

/** IPv4 behind NAT64 (RFC 6052 section 2.1): how a network with IPv6 alone reaches a CA. */
const nat64 = '64:ff9b::'

const refused = new BlockList()
for (const [address, bits] of privateIpv4) {
  // IPv4 within IPv6 (::ffff:…) is compared by BlockList itself.
  refused.addSubnet(address, bits, 'ipv4')
  refused.addSubnet(`${nat64}${address}`, 96 + bits, 'ipv6')
}
for (const [address, bits] of privateIpv6) refused.addSubnet(address, bits, 'ipv6')

const given = new BlockList()
given.addSubnet('0.0.0.0', 0, 'ipv4')
given.addSubnet('2000::', 3, 'ipv6')
given.addSubnet(nat64, 96, 'ipv6')

/** Whether it may be that of a server on the Internet. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address) === 4 ? 'ipv4' : 'ipv6'
  return isIP(address) !== 0 && given.check(address, family) && !refused.check(address, family)
}

/** A name led to an address that no server on the Internet has. */
export class AddressRefused extends Error {
  readonly address: string

  constructor(address: string) {
    super(`${address} is not a public address`)
    this.address = address
  }
}

/**
 * Looks a name up for a connection. It is here that addresses are checked, and not before: the address that was checked is
 * the one that is connected to, whatever the name server says the next time (DNS rebinding).
 */
export const publicLookup: LookupFunction = (hostname, options, answer) => {
  lookup(hostname, { ...options, all: true }, (error, found) => {
    if (error) return answer(error, '')
    const refusal = found.find(({ address }) => !isPublicAddress(address))
    if (refusal) return answer(new AddressRefused(refusal.address), '')
    const [first] = found
    if (options.all || !first) return answer(null, found)
    return answer(null, first.address, first.family)
  })
}
