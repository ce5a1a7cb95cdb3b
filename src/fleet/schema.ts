import { z } from 'zod'
import type { ErrorCode } from '../base/catalogue.ts'
import { OnecertError } from '../base/errors.ts'
import { parseHostName } from '../pki/names.ts'
import { formatDuration, parseDuration } from './duration.ts'
import { kindsWithSettings, serviceKinds } from './layout.ts'
import { windowDefect } from './window.ts'

/**
 * The fleet file as it is written: each entry by itself; consistency.ts judges what they say of each other. An issue's
 * `params.code` is a code of the error catalogue, `params.fact` and `params.next` what its problem tells.
 */

const dayMs = 86_400_000

export interface Refusal {
  readonly code?: ErrorCode
  readonly fact?: string
  readonly next?: string
}

function refused(message: string, params: Refusal = {}) {
  return { message, params }
}

function isMapping(value: unknown): value is object {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
}

/** A rule about a whole mapping is judged though a value in it is wrong, but not where a key of it may be misspelt. */
const judgeable = {
  when: ({ value, issues }: z.core.ParsePayload) =>
    isMapping(value) && !issues.some(({ code, path }) => code === 'unrecognized_keys' && (path ?? []).length === 0),
}

function rule(message: string, next?: string) {
  return { ...refused(message, next === undefined ? {} : { next }), ...judgeable }
}

function given(...values: readonly unknown[]): number {
  return values.filter((value) => value !== undefined).length
}

function duration(minMs: number, maxMs: number) {
  const refusal = refused(`is no duration from ${formatDuration(minMs)} to ${formatDuration(maxMs)}`, {
    code: 'CONFIG_BAD_DURATION',
    next: 'write a number and a unit, such as 30d, 12h, 90m or 120s',
  })
  return z
    .custom<string>(
      (value) => {
        const ms = typeof value === 'string' ? parseDuration(value) : null
        return ms !== null && ms >= minMs && ms <= maxMs
      },
      { ...refusal, abort: false },
    )
    .transform((value) => parseDuration(value) ?? 0)
    .meta({ type: 'string', pattern: '^[0-9]+(ms|s|m|h|d)$' })
}

/** A key that a later version will have. */
function reserved(message: string) {
  return z.never({ error: message }).optional()
}

const nameGrammar = /^[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,62}$/
const name = z.string().regex(nameGrammar, 'is no name: lower-case letters, digits, ".", "_" and "-", at most 63')

/** Absolute, and of characters that need no quoting anywhere. */
const serverPath = z
  .string()
  .regex(/^\/[A-Za-z0-9._/@+-]*$/, 'is no absolute path of letters, digits and . _ / @ + -')
  .refine((path) => !path.split('/').includes('..'), { message: 'must not hold ".."' })

const startsWithTilde = refused('begins with "~", which is not expanded', { next: 'write the whole path' })
const localPath = z
  .string()
  .min(1)
  .refine((path) => !path.startsWith('~'), startsWithTilde)

const hostName = z.string().superRefine((text, context) => {
  try {
    parseHostName(text)
  } catch (error) {
    if (!(error instanceof OnecertError)) throw error
    const { code, failure } = error
    context.addIssue({ code: 'custom', message: failure.what, params: { ...failure, code } })
  }
})

const noAddress = 'is no IP address such as 192.0.2.11 or 2001:db8::7'
const address = z.union([z.ipv4(noAddress), z.ipv6(noAddress)], noAddress)
const port = z.int().min(1).max(65_535)

const argv = z
  .union(
    [
      z.array(z.string().min(1)).min(1),
      z
        .string()
        .regex(
          /^[A-Za-z0-9._/@:=,+ -]+$/,
          'holds characters that only a shell understands; no shell runs it. Write a list: ["systemctl", "reload", "x"]',
        )
        .transform((text) => text.trim().split(/ +/)),
    ],
    'is no command: write a list of words',
  )
  .describe('a command: a list of words, or plain words; no shell runs it')

const commands = { test: argv.optional(), reload: argv.optional(), start: argv.optional() }
const layout = z
  .enum(['pair', 'combined', 'key-first'])
  .optional()
  .describe(
    'pair: fullchain.pem and privkey.pem; combined: one combined.pem; key-first: the same, the key before the leaf',
  )
const services = {
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

const importer = z
  .strictObject({
    certificate: localPath.optional().describe('PEM or DER: the leaf, and the intermediates if they are in it'),
    key: localPath.optional().describe('its private key; may go once the vault holds it'),
    chain: localPath.optional().describe('the intermediates, where they are in a file of their own'),
    pkcs12: localPath.optional().describe('one PKCS#12 container instead'),
    'passphrase-file': localPath.optional().describe('holds the passphrase of the key or container'),
  })
  .refine(
    (spec) => given(spec.certificate, spec.pkcs12) === 1,
    rule('needs either "certificate" (with "key") or "pkcs12"'),
  )
  .refine(
    (spec) => spec.pkcs12 === undefined || given(spec.key, spec.chain) === 0,
    rule('has "key" or "chain" beside "pkcs12"', 'the container holds both: take them away'),
  )

const https = z.string().regex(/^https:\/\/[^\s/@]+(\/\S*)?$/, 'is no https:// URL')

const hostAndPort = z
  .string()
  .regex(
    /^(\d+\.\d+\.\d+\.\d+|\[[0-9a-f:]+\]):\d{1,5}$/i,
    'is no address with a port such as 192.0.2.53:53 or [2001:db8::53]:53',
  )
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, 'has a port above 65535')

const http01 = z
  .strictObject({
    webroot: serverPath.optional().describe('the folder that each server serves over HTTP; the answers go below it'),
    stateless: z
      .literal(true)
      .optional()
      .describe('each server answers by itself: onecert account ISSUER --snippet nginx'),
    listen: hostAndPort.optional().describe('onecert answers here; the servers pass challenges on to it'),
    port: port.default(80).describe('where it is looked at before the CA is told; a CA comes to 80'),
  })
  .refine(
    (spec) => given(spec.webroot, spec.stateless, spec.listen) === 1,
    rule('needs exactly one of "webroot", "stateless" and "listen"'),
  )

const dnsLookup = {
  resolvers: z
    .array(z.union([address, hostAndPort]))
    .optional()
    .describe('absent: those of this machine'),
  port: port.default(53).describe('of the authoritative name servers'),
}

const within = duration(5_000, 86_400_000).prefault('10m').describe('how long all name servers may take to have it')

const rfc2136 = z.strictObject({
  server: z
    .union([address, hostAndPort], 'is no address such as 192.0.2.53 or 192.0.2.53:53')
    .describe('the primary name server'),
  'key-name': z.string().min(1).max(253).optional().describe('of the TSIG key, where the file does not say it'),
  'key-file': localPath.describe('a key file of BIND, or the secret in Base64'),
  algorithm: z.enum(['hmac-sha256', 'hmac-sha384', 'hmac-sha512']).optional(),
})

const dns01 = z
  .strictObject({
    rfc2136: rfc2136
      .extend({ zone: hostName.optional().describe('absent: found by asking') })
      .optional()
      .describe('dynamic updates with TSIG (BIND, Knot, PowerDNS, Windows)'),
    exec: argv
      .refine(([program = '']) => !program.startsWith('~'), { ...startsWithTilde, path: [0] })
      .optional()
      .describe('a program of your own: see docs/guides/acme.md'),
    cloudflare: z.strictObject({ 'token-file': localPath, endpoint: https.optional() }).optional(),
    route53: z
      .strictObject({
        'credentials-file': localPath.describe('as the AWS tools write it'),
        profile: z.string().default('default'),
        'zone-id': z.string().optional(),
        endpoint: https.optional(),
      })
      .optional(),
    'acme-dns': z.strictObject({ url: https, 'account-file': localPath }).optional(),
    ...dnsLookup,
    within,
  })
  .refine(
    (spec) => given(spec.rfc2136, spec.exec, spec.cloudflare, spec.route53, spec['acme-dns']) === 1,
    rule('needs exactly one of "rfc2136", "exec", "cloudflare", "route53" and "acme-dns"'),
  )

const mail = z.email('is no e-mail address')

/** Beside `acme`. */
const acmeSettings = {
  email: z
    .union([mail, z.array(mail).min(1)])
    .optional()
    .describe('whom the CA may write to'),
  'ca-file': localPath.optional().describe('PEM: the roots that the HTTPS of a CA of your own is checked against'),
  'roots-file': localPath.optional().describe('PEM: the roots that clients know, if not the public ones'),
  profile: z
    .string()
    .regex(/^[A-Za-z0-9._-]{1,64}$/, 'is no name of a profile')
    .optional(),
  'preferred-chain': z
    .string()
    .min(1)
    .max(100)
    .optional()
    .describe('common name of the root that the chain should lead to'),
  eab: z
    .strictObject({ 'key-id': z.string().min(1), 'hmac-file': localPath })
    .optional()
    .describe('External Account Binding, where the CA wants it'),
  'http-01': http01.optional(),
  'dns-01': dns01.optional(),
  'dns-persist-01': z
    .strictObject(dnsLookup)
    .optional()
    .describe('records that stand in the DNS: onecert account ISSUER shows them; {} will do'),
  'tls-alpn-01': z
    .strictObject({ listen: hostAndPort })
    .optional()
    .describe('onecert answers here, for names whose port 443 leads to it'),
}

const issuer = z
  .strictObject({
    import: importer.optional(),
    'local-ca': z
      .strictObject({
        'common-name': z
          .string()
          .min(1)
          .max(60)
          .regex(/^[\p{L}\p{N} ._-]+$/u, 'holds characters that a name cannot have')
          .default('onecert local CA'),
        lifetime: duration(3_600_000, 825 * dayMs)
          .prefault('90d')
          .describe('of each certificate'),
      })
      .optional(),
    watch: localPath
      .optional()
      .describe('a directory that certbot, acme.sh, lego, Caddy or a person keeps: the newest certificate in it'),
    acme: https.optional().describe("the URL of the CA's ACME directory"),
    ...acmeSettings,
  })
  .refine(
    (spec) => given(spec.acme, spec.import, spec['local-ca'], spec.watch) === 1,
    rule('needs exactly one of "acme", "import", "local-ca" and "watch"'),
  )
  .refine(
    (spec) =>
      spec.acme === undefined ||
      given(spec['http-01'], spec['dns-01'], spec['dns-persist-01'], spec['tls-alpn-01']) > 0,
    rule('has "acme" without a challenge', 'add "http-01", "dns-01", "dns-persist-01" or "tls-alpn-01"'),
  )
  .refine(
    (spec) =>
      spec.acme !== undefined || Object.keys(acmeSettings).every((key) => spec[key as keyof typeof spec] === undefined),
    rule(
      `has one of ${Object.keys(acmeSettings)
        .map((key) => `"${key}"`)
        .join(', ')} without "acme"`,
    ),
  )

const certificate = z.strictObject({
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

const location = z.string().max(60)

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

const listener = {
  starttls: z.enum(['smtp', 'imap', 'pop3', 'postgres']).optional().describe('TLS begins inside of this protocol'),
  'proxy-protocol': z.enum(['v1', 'v2']).optional().describe('it expects the header of a balancer before TLS'),
}

const windowDefects = {
  cron: refused('is no cron expression of five fields', { next: 'write one such as "0 2 * * 0": Sundays at 02:00' }),
  'time-zone': refused('is no time zone', { next: 'write one such as Europe/Berlin or UTC' }),
  never: refused('never comes'),
}

const window = z
  .strictObject({
    cron: z.string().max(200).describe('when it opens: minute, hour, day of month, month, day of week'),
    for: duration(60_000, 7 * dayMs).describe('how long it is open'),
    'time-zone': z.string().max(60).default('UTC').describe('in which the cron expression is read'),
  })
  .superRefine((written, context) => {
    const defect = windowDefect({ cron: written.cron, timeZone: written['time-zone'] })
    if (defect === null) return
    const path = defect === 'time-zone' ? ['time-zone'] : ['cron']
    context.addIssue({
      code: 'custom',
      path,
      input: path[0] === 'cron' ? written.cron : written['time-zone'],
      ...windowDefects[defect],
    })
  })

const windows = z
  .union([window, z.array(window).min(1).max(20)])
  .describe('when a server may be changed; absent: always')
/** How a machine is reached. */
const way = {
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

const oneKindOfPin = rule('has both "host-key" and "known-hosts": one is enough')
const noPinHere = rule(
  'has "host-key" or "known-hosts" beside "local: true"',
  'this machine shows no host key: take them away',
)

const server = z
  .strictObject({
    ...way,
    agent: reserved('is not known to this version, which has "ssh" and "local"'),
    address: address.describe('where its own handshakes are looked at'),
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

const serverNames = z.array(z.string()).min(1)
const upstreamUrl = z.url({ protocol: /^https?$/, error: 'is no URL such as http://10.0.1.5:8080' })

const proxyName = z.string().regex(/^[A-Za-z0-9_.:-]{1,100}$/, 'is no name that HAProxy has: letters, digits, _ . : -')

/** A balancer's Runtime API is as good as its root: nobody is asked for it whose host key was not confirmed. */
const control = z
  .strictObject({
    ...way,
    haproxy: z
      .strictObject({
        socket: serverPath.describe('of the Runtime API, with level admin: stats socket PATH level admin'),
        backend: proxyName,
        members: z
          .record(name, proxyName)
          .default({})
          .describe("HAProxy's names of the servers, where they are others than here"),
      })
      .describe('HAProxy, by its Runtime API'),
    'drain-within': duration(0, 600_000)
      .prefault('30s')
      .describe('a member that has sessions after this time is reloaded with them'),
  })
  .refine((spec) => given(spec.ssh, spec.local) === 1, rule('needs either "ssh" or "local: true"'))
  .refine((spec) => given(spec['host-key'], spec['known-hosts']) < 2, oneKindOfPin)
  .refine(
    (spec) => spec.ssh === undefined || given(spec['host-key'], spec['known-hosts']) > 0,
    rule(
      'has "ssh" without "host-key" or "known-hosts"',
      'on the balancer: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub',
    ),
  )
  .refine((spec) => spec.local === undefined || given(spec['host-key'], spec['known-hosts']) === 0, noPinHere)

const site = z
  .strictObject({
    certificate: z
      .union([z.string(), z.array(z.string()).length(2)], 'is neither a certificate nor a pair of two')
      .describe('one, or a pair: one with an EC key and one with an RSA key'),
    dns: serverNames.optional().describe('the name resolves to these servers, in different places'),
    'load-balancer': z
      .strictObject({
        address,
        port: port.default(443),
        'proxy-protocol': listener['proxy-protocol'],
        servers: serverNames,
        control: z
          .union([control, z.array(control).min(1).max(8)], 'is neither a mapping nor a list of them')
          .optional()
          .describe('how the balancer is told to drain a member before its reload; several: each is told'),
      })
      .optional()
      .describe('TLS passes through to these members'),
    'reverse-proxy': z
      .strictObject({
        servers: serverNames,
        standby: serverNames.optional().describe('those of them that no name points to until another one fails'),
        upstreams: z
          .array(
            z.union(
              [upstreamUrl, z.strictObject({ url: upstreamUrl, server: z.string().optional() })],
              'is neither a URL such as http://10.0.1.5:8080 nor { url, server }',
            ),
          )
          .default([]),
      })
      .optional()
      .describe('TLS ends at these proxies; upstreams hold no key'),
    quarantine: z
      .strictObject({
        before: duration(1_000, 90 * dayMs)
          .prefault('2d')
          .describe('a server that is not renewed this long before its certificate ends is taken out of the DNS'),
        keep: z.int().min(1).max(1_000).default(1).describe('addresses that always stay'),
      })
      .optional()
      .describe('beside "dns", where the name lies in one of the zones'),
  })
  .refine(
    (spec) => spec.quarantine === undefined || spec.dns !== undefined,
    rule('has "quarantine" without "dns"', 'only addresses in the DNS can be taken out of it'),
  )
  .refine(
    (spec) => given(spec.dns, spec['load-balancer'], spec['reverse-proxy']) === 1,
    rule('needs exactly one of "dns", "load-balancer" and "reverse-proxy"'),
  )

const zone = z.strictObject({
  rfc2136: rfc2136.describe('dynamic updates with TSIG (BIND, Knot, PowerDNS, Windows)'),
  ttl: duration(1_000, 7 * dayMs)
    .prefault('5m')
    .describe('of an address where the name has none yet; others keep theirs'),
  ...dnsLookup,
  within,
})

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
