import { z } from 'zod'
import { localPath, port, refused, rule } from './grammar.ts'

const fingerprintPattern = /^SHA256:[A-Za-z0-9+/]{43}=?$/

const fingerprint = z
  .string()
  .refine(
    (text) => fingerprintPattern.test(text),
    refused('is no fingerprint of the form SHA256:…', { next: 'onecert server scan NAME shows it' }),
  )
  .meta({ pattern: fingerprintPattern.source })

const destination = z
  .string()
  .regex(/^(?!-)[A-Za-z0-9._@:%[\]-]+$/, 'is no ssh destination such as deploy@web-1.example.com')
  .refine((text) => !text.includes('@-'), { message: 'has a host that begins with "-"' })

/** How a machine is reached. */
export const way = {
  ssh: z
    .union(
      [
        destination,
        z.strictObject({
          destination,
          port: port.optional(),
          identity: localPath.optional(),
          sudo: z.boolean().optional(),
        }),
      ],
      'is no ssh destination such as deploy@web-1.example.com',
    )
    .optional()
    .describe('user@host, or an alias of ssh_config'),
  'host-key': z
    .union([fingerprint, z.array(fingerprint).min(1).max(2)], 'is no fingerprint of the form SHA256:…')
    .optional()
    .describe('SHA256:…; two while it is being rotated'),
  'known-hosts': localPath.optional().describe('a known_hosts file instead of host-key'),
  local: z.literal(true).optional().describe('this machine'),
}

export const oneKindOfPin = rule('has both "host-key" and "known-hosts": one is enough')

export const noPinHere = rule(
  'has "host-key" or "known-hosts" beside "local: true"',
  'this machine shows no host key: take them away',
)
