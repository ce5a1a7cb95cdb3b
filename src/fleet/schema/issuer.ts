import { z } from 'zod'
import { dayMs, hourMs } from '../../base/clock.ts'
import { acmeSettings } from './acme.ts'
import { duration, given, https, localPath, rule } from './grammar.ts'

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

export const issuer = z
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
        lifetime: duration(hourMs, 825 * dayMs)
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
