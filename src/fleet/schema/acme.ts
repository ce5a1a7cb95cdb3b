import { z } from 'zod'
import { dnsLookup, rfc2136, within } from './dns.ts'
import {
  argv,
  given,
  hostAndPort,
  hostName,
  https,
  localPath,
  port,
  rule,
  serverPath,
  startsWithTilde,
} from './grammar.ts'

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
export const acmeSettings = {
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
