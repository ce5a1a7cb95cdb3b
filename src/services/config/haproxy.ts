import { fail } from '../../base/errors.ts'
import { ticketDirectives } from '../tickets.ts'
import { type Challenge, challengePath, statelessSnippet } from './challenge.ts'
import type { BalancerRequest, ConfigRequest, SiteRequest } from './request.ts'
import { balancerHead, groupsFor, head, indent, isTls12Allowed, upstreamsOf, wordOf } from './text.ts'

/** Long enough for an idle connection of HTTP/2 or a WebSocket to be of use. */
const clientTimeout = '60s'

/**
 * A file of its own beside haproxy.cfg. All sites of the server are in it: two frontends at one port would share its
 * connections at random. What TLS may be stands at "bind", so that no other frontend changes with it.
 */
export function haproxyConfig(request: ConfigRequest): string {
  const { profile, versions, sites, httpPort } = request
  const curves = groupsFor(versions)
  const certificates = [...new Set(sites.flatMap(({ certificates: all }) => all.map(fileOf)))]
  const bind = (port: number, words: readonly string[]) => {
    const end = words.length === 0 ? '' : ` ${words.join(' ')}`
    if (request.bind !== null) return [`bind ${request.bind}:${port}${end}`]
    return [`bind :${port}${end}`, ...(versions.ipv6 ? [`bind :::${port} v6only${end}`] : [])]
  }
  return [
    ...head('haproxy', request),
    ...(versions.ipv6 || request.bind !== null
      ? []
      : ['# Where the server has IPv6, a second line "bind :::PORT v6only …" is for it.']),
    ...(curves.remark ? [curves.remark] : []),
    'frontend onecert_https',
    ...indent([
      'mode http',
      ...bind(request.port, [
        ...(request.proxyProtocol ? ['accept-proxy'] : []),
        'ssl',
        ...certificates.map((file) => `crt ${file}`),
        'alpn h2,http/1.1',
        `ssl-min-ver ${profile.versions[0]}`,
        ...(isTls12Allowed(profile) ? [`ciphers ${profile.ciphers.join(':')}`] : []),
        `ciphersuites ${profile.ciphersuites.join(':')}`,
        `curves ${curves.list}`,
        'prefer-client-ciphers',
        // Without keys of ours the key of tickets is a new one after a restart alone.
        ...(request.tickets === null ? ['no-tls-tickets'] : ticketDirectives('haproxy', request.tickets)),
      ]),
      `timeout client ${clientTimeout}`,
      'option forwardfor',
      'http-request set-header X-Forwarded-Proto https',
      `http-response set-header Strict-Transport-Security "max-age=${profile.hstsSeconds}"`,
      ...sites.map((site) =>
        site.upstreams.length > 0
          ? `use_backend onecert_${wordOf(site.name)} if ${asksFor(site.name)}`
          : `# use_backend YOUR_BACKEND if ${asksFor(site.name)}`,
      ),
    ]),
    ...(httpPort === null ? [] : httpFrontend(sites, request.port, bind(httpPort, []))),
    ...sites.flatMap(backend),
    ...listenBackend(httpPort === null ? [] : sites),
    '',
  ].join('\n')
}

function httpFrontend(sites: readonly SiteRequest[], port: number, bind: readonly string[]): string[] {
  const challenges = sites.flatMap(({ challenge }) => challenge ?? [])
  const to = port === 443 ? 'scheme https' : `location "https://%[req.hdr(host),field(1,:)]:${port}%[pathq]"`
  return [
    'frontend onecert_http',
    ...indent([
      'mode http',
      ...bind,
      `timeout client ${clientTimeout}`,
      ...new Set(challenges.flatMap(challengeLines)),
      `http-request redirect ${to} code 301 unless { path_beg ${challengePath} }`,
      ...(challenges.some(({ kind }) => kind === 'listen')
        ? [`use_backend onecert_challenge if { path_beg ${challengePath} }`]
        : []),
    ]),
  ]
}

function challengeLines(challenge: Challenge): string[] {
  if (challenge.kind === 'stateless') return [statelessSnippet('haproxy', challenge.thumbprint)]
  return challenge.kind === 'webroot'
    ? ['# HAProxy serves no files: http-01 with a webroot cannot be answered here. docs/guides/acme.md has other ways.']
    : []
}

function listenBackend(sites: readonly SiteRequest[]): string[] {
  const [to] = sites.flatMap(({ challenge }) => (challenge?.kind === 'listen' ? [challenge.address] : []))
  return to === undefined
    ? []
    : [
        'backend onecert_challenge',
        '  mode http',
        '  timeout connect 5s',
        '  timeout server 30s',
        `  server onecert ${to}`,
      ]
}

function backend(site: SiteRequest): string[] {
  const upstreams = upstreamsOf(site)
  if (!upstreams) return []
  // Nobody said which roots the upstreams are known by.
  const tls = upstreams.scheme === 'https' ? ' ssl verify none' : ''
  return [
    `backend onecert_${wordOf(site.name)}`,
    ...indent([
      'mode http',
      'timeout connect 5s',
      'timeout server 60s',
      ...upstreams.servers.map((each, at) => `server upstream-${at + 1} ${each} check${tls}`),
    ]),
  ]
}

/** @throws OnecertError CONFIG_BAD_VALUE */
function fileOf(files: SiteRequest['certificates'][number]): string {
  if (files.layout === 'combined') return files.combined
  return fail('CONFIG_BAD_VALUE', {
    what: 'HAProxy reads one file with chain and key',
    fact: `the fleet file gives it a pair: ${files.chain}, ${files.key}`,
    state: 'nothing was changed',
    next: 'take "layout: pair" away from the service of that server',
  })
}

function asksFor(name: string): string {
  return name.startsWith('*.') ? `{ ssl_fc_sni -m end -i ${name.slice(1)} }` : `{ ssl_fc_sni -i ${name} }`
}

const sendProxy = { none: '', v1: ' send-proxy check-send-proxy', v2: ' send-proxy-v2 check-send-proxy' } as const

/** TLS passes through to the members, which are asked by handshakes whether they are there. */
export function haproxyBalancer(request: BalancerRequest): string {
  const { sites, httpPort } = request
  const at = (port: number) => `bind ${request.bind ?? ''}:${port}`
  const server = (name: string, address: string, port: number, words: string) =>
    `server ${name} ${address}:${port} check inter 3s${words}`
  const backends = sites.map((site) => [
    `backend onecert_${wordOf(site.name)}`,
    ...indent([
      'mode tcp',
      'balance leastconn',
      'timeout connect 5s',
      'timeout server 10m',
      ...site.members.map((each) =>
        server(
          each.name,
          each.address,
          each.port,
          `${sendProxy[each.proxyProtocol ?? 'none']} check-ssl verify none check-sni ${site.name.replace(/^\*/, 'onecert-probe')}`,
        ),
      ),
    ]),
  ])
  const [first] = sites
  const members = new Map(sites.flatMap((site) => site.members.map((each) => [each.name, each.address] as const)))
  return [
    ...balancerHead(request),
    'frontend onecert_tls',
    ...indent([
      'mode tcp',
      at(request.port),
      'timeout client 10m',
      'tcp-request inspect-delay 5s',
      'tcp-request content accept if { req.ssl_hello_type 1 }',
      ...sites.map(
        ({ name }) =>
          `use_backend onecert_${wordOf(name)} if ${name.startsWith('*.') ? `{ req.ssl_sni -m end -i ${name.slice(1)} }` : `{ req.ssl_sni -i ${name} }`}`,
      ),
      `default_backend onecert_${wordOf(first.name)}`,
    ]),
    ...backends.flat(),
    ...(httpPort === null
      ? []
      : [
          '# Plain HTTP goes to the members too: they redirect, and answer challenges.',
          'frontend onecert_plain',
          ...indent(['mode tcp', at(httpPort), 'timeout client 60s', 'default_backend onecert_plain']),
          'backend onecert_plain',
          ...indent([
            'mode tcp',
            'timeout connect 5s',
            'timeout server 60s',
            ...[...members].map(([name, address]) => server(name, address, httpPort, '')),
          ]),
        ]),
    '',
  ].join('\n')
}
