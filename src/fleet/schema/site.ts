import { z } from 'zod'
import { dayMs } from '../../base/clock.ts'
import { control } from './balancer.ts'
import { address, duration, given, port, rule } from './grammar.ts'
import { listener } from './listener.ts'

const serverNames = z.array(z.string()).min(1)

const upstreamUrl = z.url({ protocol: /^https?$/, error: 'is no URL such as http://10.0.1.5:8080' })

export const site = z
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
    'without-sni': z
      .boolean()
      .default(false)
      .describe('each server serves it to clients that name no host too: it is the default there'),
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
