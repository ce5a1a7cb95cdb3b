import { z } from 'zod'
import { covers } from '../../pki/names.ts'
import { type FileFacts, type FoundSite, parseListen } from './found.ts'

const texts = z.array(z.string().nullable().catch(null)).catch([])

const shape = z.object({
  apps: z.object({
    http: z
      .object({
        servers: z.record(
          z.string(),
          z.object({
            listen: texts.optional(),
            routes: z
              .array(
                z
                  .object({
                    match: z
                      .array(z.object({ host: texts.optional() }).catch({}))
                      .nullish()
                      .catch(null),
                  })
                  .catch({}),
              )
              .nullish()
              .catch(null),
          }),
        ),
      })
      .optional(),
    tls: z
      .object({
        certificates: z.object({
          load_files: z.array(z.object({ certificate: z.string(), key: z.string() }).nullable().catch(null)).catch([]),
        }),
      })
      .nullish()
      .catch(null),
  }),
})

/**
 * What `caddy adapt` makes of a Caddyfile. It does not say which certificate is for which name: that, the certificates say.
 * What Caddy gets by itself is none of ours.
 */
export function discoverCaddy(lines: readonly string[], facts: ReadonlyMap<string, FileFacts>): FoundSite[] {
  const { data } = shape.safeParse(parsed(lines.join('\n')))
  const loaded = (data?.apps.tls?.certificates.load_files ?? []).flatMap((each) =>
    each?.certificate.startsWith('/') ? [[each.certificate, each.key] as const] : [],
  )
  return Object.values(data?.apps.http?.servers ?? {}).flatMap((server) => {
    const listens = (server.listen ?? []).flatMap((each) => (each === null ? [] : parseListen(each, 443)))
    const secure = listens.filter(({ port }) => port !== 80)
    const hosts = (server.routes ?? []).flatMap(({ match }) => (match ?? []).flatMap(({ host }) => host ?? []))
    return [...new Map(loaded)].flatMap(([chain, key]): FoundSite[] => {
      if (secure.length === 0) return []
      const covered = facts.get(chain)?.names
      const names = hosts.filter((name) => name !== null && (covered === undefined || covers(covered, name)))
      if (names.length === 0) return []
      return [
        {
          names: names.filter((name) => name !== null),
          listens: secure,
          certificates: [{ chain, key: key === chain ? null : key }],
        },
      ]
    })
  })
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
