import { type Challenge, challengePath, statelessSnippet } from './challenge.ts'
import type { ConfigRequest, SiteRequest } from './request.ts'
import { head, indent, isTls12Allowed, pairOf, upstreamsOf } from './text.ts'
import { atLeast } from './versions.ts'

/** Go's names of the ciphers of TLS 1.2, in the order of the profile. */
const ciphers: Readonly<Record<string, string>> = {
  'ECDHE-ECDSA-AES128-GCM-SHA256': 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256': 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384': 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384': 'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305': 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
  'ECDHE-RSA-CHACHA20-POLY1305': 'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
}

/** A file that a Caddyfile imports. Caddy gets no certificate by itself for a site with a "tls" line that names files. */
export function caddyConfig(request: ConfigRequest): string {
  const before = request.proxyProtocol
    ? [
        `# In the global options: servers :${request.port} { listener_wrappers { proxy_protocol; tls } }, a wrapper a line.`,
      ]
    : []
  return [...head('caddy', request), ...before, ...request.sites.flatMap((site) => siteLines(site, request)), ''].join(
    '\n',
  )
}

function siteLines(site: SiteRequest, request: ConfigRequest): string[] {
  const { profile, versions, httpPort, port } = request
  const upstreams = upstreamsOf(site)
  const knows = atLeast(versions.software, '2.10')
  const bind = request.bind === null ? [] : [`bind ${request.bind}`]
  const settings = [
    `protocols ${profile.versions.map((each) => each.toLowerCase().replace('v', '')).join(' ')}`,
    ...(knows ? [] : ['# x25519mlkem768 belongs first in this list with Caddy 2.10 or newer.']),
    `curves ${knows ? 'x25519mlkem768 ' : ''}x25519 secp256r1 secp384r1`,
    ...(isTls12Allowed(profile) ? [`ciphers ${profile.ciphers.map((each) => ciphers[each]).join(' ')}`] : []),
  ]
  const tls = site.certificates
    .map(pairOf)
    .map(({ chain, key }) => `tls ${chain} ${key} {\n${indent(settings).join('\n')}\n}`)
  return [
    `https://${site.name}:${port} {`,
    ...indent(
      [
        ...bind,
        ...tls,
        `header Strict-Transport-Security "max-age=${profile.hstsSeconds}"`,
        ...(upstreams
          ? [`reverse_proxy ${upstreams.servers.map((each) => `${upstreams.scheme}://${each}`).join(' ')}`]
          : []),
        ...(site.more ? [`import ${site.more}`] : []),
      ],
      '\t',
    ),
    '}',
    ...(httpPort === null
      ? []
      : [
          `http://${site.name}:${httpPort} {`,
          ...indent(
            [
              ...bind,
              ...challengeLines(site.challenge),
              'handle {',
              `\tredir https://{host}${port === 443 ? '' : `:${port}`}{uri} 301`,
              '}',
            ],
            '\t',
          ),
          '}',
        ]),
  ]
}

function challengeLines(challenge: Challenge | null): string[] {
  switch (challenge?.kind) {
    case 'webroot':
      return [`handle ${challengePath}* {`, `\troot * ${challenge.webroot}`, '\tfile_server', '}']
    case 'stateless':
      return [statelessSnippet('caddy', challenge.thumbprint)]
    case 'listen':
      return [`handle ${challengePath}* {`, `\treverse_proxy ${challenge.address}`, '}']
    default:
      return []
  }
}
