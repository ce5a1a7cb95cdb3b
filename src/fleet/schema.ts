import { z } from 'zod'
import { certificate } from './schema/certificate.ts'
import { zone } from './schema/dns.ts'
import { duration, hostName, name } from './schema/grammar.ts'
import { issuer } from './schema/issuer.ts'
import { location, server } from './schema/server.ts'
import { site } from './schema/site.ts'
import { windows } from './schema/window.ts'

/**
 * The fleet file as it is written: each entry by itself (schema/); consistency/ judges what they say of each other. An issue's
 * `params.code` is a code of the error catalogue, `params.fact` and `params.next` what its problem tells.
 */

const wave = z
  .union(
    [
      z.int().min(1),
      z.string().regex(/^([1-9]|[1-9]\d|100)%$/, 'is neither a number of servers nor a share such as 25%'),
    ],
    'is neither a number of servers nor a share such as 25%',
  )
  .describe('servers at once after the canary: a number, or a share')

export const fleetSchema = z.strictObject({
  version: z.literal(1),
  issuers: z.record(name, issuer),
  certificates: z.record(name, certificate),
  servers: z.record(name, server),
  sites: z.record(hostName, site),
  zones: z.record(hostName, zone).default({}).describe('where the addresses of servers are published'),
  rollout: z
    .strictObject({
      canary: z.int().min(1).max(100).default(1),
      wave: wave.default('25%'),
      'confirm-within': duration(5_000, 3_600_000)
        .prefault('120s')
        .describe('a swap that is not confirmed in time undoes itself'),
    })
    .prefault({}),
  locations: z
    .record(location, z.strictObject({ window: windows }))
    .optional()
    .describe('maintenance windows of all servers of a location that have none of their own'),
})

export type FleetAsWritten = z.output<typeof fleetSchema>

/** The JSON Schema of the fleet file, for editors. */
export function jsonSchema(): Record<string, unknown> {
  return { ...z.toJSONSchema(fleetSchema, { io: 'input', unrepresentable: 'any' }), title: 'onecert fleet file' }
}
