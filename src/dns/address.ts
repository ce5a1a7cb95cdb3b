import { isIPv4 } from 'node:net'
import { canonicalAddress } from '../pki/names.ts'

/** The record that holds such an address. */
export function addressType(address: string): 'A' | 'AAAA' {
  return isIPv4(address) ? 'A' : 'AAAA'
}

/** 4 bytes (RFC 1035 section 3.4.1) or 16 (RFC 3596 section 2.2) of a valid IP address. */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split('.').map(Number))
  const [head = '', tail] = canonicalAddress(address).split('::')
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const bytes = Buffer.alloc(16)
  for (const [at, group] of before.entries()) bytes.writeUInt16BE(group, at * 2)
  for (const [at, group] of after.entries()) bytes.writeUInt16BE(group, 16 - (after.length - at) * 2)
  return bytes
}
