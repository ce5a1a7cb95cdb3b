import { z } from 'zod'
import { argv, serverPath } from './grammar.ts'

const commands = { test: argv.optional(), reload: argv.optional(), start: argv.optional() }

const layout = z
  .enum(['pair', 'combined', 'key-first'])
  .optional()
  .describe(
    'pair: fullchain.pem and privkey.pem; combined: one combined.pem; key-first: the same, the key before the leaf',
  )

export const services = {
  nginx: z.strictObject(commands),
  apache: z.strictObject(commands),
  haproxy: z.strictObject({
    ...commands,
    layout,
    socket: serverPath.optional().describe('its Runtime API: files are put into its memory in place of a reload'),
  }),
  caddy: z.strictObject({ ...commands, config: serverPath.optional().describe('default: /etc/caddy/Caddyfile') }),
  postfix: z.strictObject({ ...commands, layout }),
  dovecot: z.strictObject(commands),
  postgresql: z.strictObject({
    ...commands,
    cluster: z
      .string()
      .regex(/^[0-9.]+\/[A-Za-z0-9_][A-Za-z0-9_.-]*$/, 'is no cluster such as 15/main')
      .optional()
      .describe('one of several clusters, as pg_lsclusters shows it; default: all'),
  }),
  envoy: z.strictObject(commands),
  traefik: z.strictObject({
    ...commands,
    dynamic: serverPath.describe('a file in its dynamic directory: touched, so that certificates are read again'),
  }),
  command: z.strictObject({ ...commands, reload: argv, layout }),
}
