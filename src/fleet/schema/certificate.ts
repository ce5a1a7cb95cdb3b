import { z } from 'zod'
import { dayMs } from '../../base/clock.ts'
import { duration, hostName } from './grammar.ts'

export const certificate = z.strictObject({
  names: z.array(hostName).min(1).max(100).describe('host names; a wildcard needs quotes: "*.example.com"'),
  issuer: z
    .union([z.string(), z.array(z.string()).min(1).max(5)], 'is neither the name of an issuer nor a list of names')
    .describe('the name of an issuer; of several, a later one takes over when the ones before it stay down'),
  key: z
    .strictObject({
      type: z.enum(['ec-p256', 'ec-p384', 'rsa-2048', 'rsa-3072', 'rsa-4096']).default('ec-p256'),
      'keep-for': duration(0, 3650 * dayMs)
        .prefault('365d')
        .describe('inside it a renewal moves no private key at all'),
    })
    .prefault({}),
  licence: z
    .strictObject({ servers: z.int().min(1).max(100_000) })
    .optional()
    .describe('what the terms of the CA allow; absent: unlimited'),
  tickets: z
    .strictObject({
      rotate: duration(600_000, 7 * dayMs)
        .prefault('12h')
        .describe('how long each session ticket key encrypts; it decrypts as long again'),
    })
    .optional()
    .describe('sessions resume across the servers: onecert makes, carries and rotates their session ticket keys'),
})
