import { z } from 'zod'

const text = z.string().optional().catch(undefined)

const texts = z.array(text).catch([])

const control = z
  .object({ haproxy: z.object({ members: z.record(z.string(), text).optional().catch(undefined) }) })
  .optional()
  .catch(undefined)

export const balanced = z
  .object({ servers: texts, control: z.union([z.array(control), control]) })
  .optional()
  .catch(undefined)

function entries<Entry extends z.ZodType>(entry: Entry) {
  return z.record(z.string(), entry.optional().catch(undefined)).optional().catch(undefined)
}

/**
 * What the entries of a fleet file say of each other, read past everything else: no other problem hides one of these.
 * What is not there or of another kind is undefined; the schema tells that.
 */
export const outline = z
  .object({
    issuers: entries(
      z.object({
        acme: text,
        'http-01': z.unknown().optional(),
        'dns-01': z.unknown().optional(),
        'dns-persist-01': z.unknown().optional(),
        'tls-alpn-01': z.unknown().optional(),
      }),
    ),
    certificates: entries(
      z.object({
        key: z.object({ type: text }).optional().catch(undefined),
        names: texts,
        issuer: z.union([z.string(), texts]).optional().catch(undefined),
        tickets: z.unknown().optional(),
      }),
    ),
    servers: entries(
      z.object({
        address: z
          .union([z.string().transform((each) => [each]), texts])
          .optional()
          .catch(undefined),
        location: text,
        port: z.number().default(443).catch(0),
        listeners: z
          .array(z.object({ port: z.number().catch(0) }).catch({ port: 0 }))
          .optional()
          .catch(undefined),
        probe: text,
        service: z
          .union([z.string(), z.record(z.string(), z.object({ layout: text }).catch({}))])
          .optional()
          .catch(undefined),
        files: entries(z.record(z.string(), z.unknown())),
      }),
    ),
    locations: entries(z.unknown()),
    sites: entries(
      z.object({
        certificate: z.union([z.string(), texts]).optional().catch(undefined),
        dns: texts,
        'load-balancer': balanced,
        'reverse-proxy': z
          .object({
            servers: texts,
            standby: texts,
            upstreams: z.array(z.object({ server: text }).optional().catch(undefined)).catch([]),
          })
          .optional()
          .catch(undefined),
        'without-sni': z.boolean().default(false).catch(false),
        quarantine: z.unknown().optional(),
      }),
    ),
    zones: entries(z.unknown()),
  })
  .catch({
    issuers: undefined,
    certificates: undefined,
    servers: undefined,
    locations: undefined,
    sites: undefined,
    zones: undefined,
  })

export type Outline = z.output<typeof outline>

export function kindOf(service: string | Record<string, unknown> | undefined): string | undefined {
  return typeof service === 'object' ? Object.keys(service)[0] : service
}

type SiteOutline = NonNullable<NonNullable<Outline['sites']>[string]>

export function serversOf(site: SiteOutline): (string | undefined)[] {
  return [site.dns, site['load-balancer']?.servers ?? [], site['reverse-proxy']?.servers ?? []].flat()
}
