import { z } from 'zod'
import { dayMs } from '../../base/clock.ts'
import { address, duration, hostAndPort, localPath, port } from './grammar.ts'

export const dnsLookup = {
  resolvers: z
    .array(z.union([address, hostAndPort]))
    .optional()
    .describe('absent: those of this machine'),
  port: port.default(53).describe('of the authoritative name servers'),
}

export const within = duration(5_000, 86_400_000)
  .prefault('10m')
  .describe('how long all name servers may take to have it')

export const rfc2136 = z.strictObject({
  server: z
    .union([address, hostAndPort], 'is no address such as 192.0.2.53 or 192.0.2.53:53')
    .describe('the primary name server'),
  'key-name': z.string().min(1).max(253).optional().describe('of the TSIG key, where the file does not say it'),
  'key-file': localPath.describe('a key file of BIND, or the secret in Base64'),
  algorithm: z.enum(['hmac-sha256', 'hmac-sha384', 'hmac-sha512']).optional(),
})

export const zone = z.strictObject({
  rfc2136: rfc2136.describe('dynamic updates with TSIG (BIND, Knot, PowerDNS, Windows)'),
  ttl: duration(1_000, 7 * dayMs)
    .prefault('5m')
    .describe('of an address where the name has none yet; others keep theirs'),
  ...dnsLookup,
  within,
})
