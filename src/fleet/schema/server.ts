import { z } from 'zod'
import { kindsWithSettings, serviceKinds } from '../layout.ts'
import { addresses, given, name, port, refused, reserved, rule, serverPath } from './grammar.ts'
import { listener } from './listener.ts'
import { noPinHere, oneKindOfPin, way } from './machine.ts'
import { services } from './service.ts'
import { windows } from './window.ts'

export const location = z.string().max(60)

const files = z.strictObject({
  chain: serverPath.optional(),
  key: serverPath.optional(),
  combined: serverPath.optional(),
  mode: z
    .unknown()
    .refine(
      (mode) => typeof mode !== 'number',
      refused('is a number; YAML reads 0600 as 600 or 384', {
        code: 'CONFIG_MODE_NOT_STRING',
        next: 'write "0600", with quotes',
      }),
    )
    .pipe(
      z
        .string()
        .regex(/^0[46][04]0$/, 'would let others read the key, or is no mode: use "0400", "0440", "0600" or "0640"'),
    )
    .meta({ type: 'string', enum: ['0400', '0440', '0600', '0640'] })
    .optional()
    .describe('of the files that hold the key: "0600" (default), "0640", "0400" or "0440"'),
  owner: z
    .string()
    .regex(/^[a-z_][a-z0-9_-]{0,31}(:[a-z_][a-z0-9_-]{0,31})?$/, 'is no owner such as root:ssl-cert')
    .optional(),
})

export const server = z
  .strictObject({
    ...way,
    agent: reserved('is not known to this version, which has "ssh" and "local"'),
    address: addresses.describe('where its own handshakes are looked at: one, or a list of all'),
    port: port.optional().describe('default: 443'),
    ...listener,
    listeners: z
      .array(z.strictObject({ port, ...listener }))
      .min(1)
      .max(16)
      .optional()
      .describe('where it speaks TLS at several ports: in place of port, starttls and proxy-protocol'),
    location: location.optional(),
    service: z.union([
      z.enum(
        serviceKinds.filter((kind) => !kindsWithSettings.includes(kind)),
        {
          error: ({ input }) =>
            input === 'command'
              ? 'needs its command: write service: { command: { reload: [systemctl, reload, x] } }'
              : input === 'traefik'
                ? 'needs its dynamic file: write service: { traefik: { dynamic: /etc/traefik/dynamic/tls.yaml } }'
                : undefined,
        },
      ),
      z
        .strictObject(services)
        .partial()
        .refine((spec) => given(...Object.values(spec)) === 1, rule('needs exactly one service')),
    ]),
    directory: serverPath.default('/etc/onecert').describe('generations live in DIRECTORY/CERTIFICATE/'),
    files: z.record(name, files).optional().describe('per certificate: paths that the configuration names already'),
    webroot: serverPath
      .optional()
      .describe('the folder that it serves over HTTP, where that is not the one of the issuer'),
    'key-folders': z
      .array(serverPath)
      .max(50)
      .default(['/etc'])
      .describe('where an audit looks for copies of private keys, beside "directory"'),
    include: serverPath
      .optional()
      .describe('the folder for include files of its configuration: onecert config SITE --install'),
    probe: z.enum(['direct', 'through-server']).default('direct'),
    window: windows.optional(),
  })
  .refine(
    (spec) => spec.agent !== undefined || given(spec.ssh, spec.local) === 1,
    rule('needs either "ssh" or "local: true"'),
  )
  .refine((spec) => given(spec['host-key'], spec['known-hosts']) < 2, oneKindOfPin)
  .refine(
    (spec) => spec.listeners === undefined || given(spec.port, spec.starttls, spec['proxy-protocol']) === 0,
    rule('has "port", "starttls" or "proxy-protocol" beside "listeners"', 'put them into the list'),
  )
  .refine(
    (spec) => spec.local === undefined || spec.ssh !== undefined || given(spec['host-key'], spec['known-hosts']) === 0,
    noPinHere,
  )
