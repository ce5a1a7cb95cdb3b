import { bracketed } from '../../pki/names.ts'
import { ticketDirectives } from '../tickets.ts'
import { type Challenge, challengePath, statelessSnippet } from './challenge.ts'
import type { BalancerRequest, ConfigRequest, Member, SiteRequest } from './request.ts'
import { balancerHead, groupsFor, head, indent, isTls12Allowed, pairOf, upstreamsOf, wordOf } from './text.ts'
import { atLeast } from './versions.ts'

/** A file for the `http` context of nginx, such as those in conf.d. */
export function nginxConfig(request: ConfigRequest): string {
  // At the level of http: it takes those of the default server of a port for all names there.
  const tickets = request.tickets === null ? [] : ticketDirectives('nginx', request.tickets)
  return [...head('nginx', request), ...tickets, ...request.sites.flatMap((site) => siteLines(site, request)), ''].join(
    '\n',
  )
}

function siteLines(site: SiteRequest, request: ConfigRequest): string[] {
  const { profile, versions, httpPort, tickets } = request
  const upstreams = upstreamsOf(site)
  const pool = `onecert_${wordOf(site.name)}`
  const curves = groupsFor(versions)
  // Before 1.23.2 the key of all tickets stays the same until a restart; since then it is replaced with the cache's entries.
  const keepsTicketKeys = atLeast(versions.software, '1.23.2')
  return [
    ...(upstreams ? [`upstream ${pool} {`, ...upstreams.servers.map((each) => `  server ${each};`), '}'] : []),
    'server {',
    ...indent([
      ...listen(request, request.port, request.proxyProtocol ? 'ssl proxy_protocol' : 'ssl'),
      ...http2(request),
      `server_name ${site.name};`,
      ...site.certificates
        .map(pairOf)
        .flatMap(({ chain, key }) => [`ssl_certificate ${chain};`, `ssl_certificate_key ${key};`]),
      `ssl_protocols ${profile.versions.join(' ')};`,
      ...(curves.remark ? [curves.remark] : []),
      `ssl_ecdh_curve ${curves.list};`,
      ...(isTls12Allowed(profile) ? [`ssl_ciphers ${profile.ciphers.join(':')};`] : []),
      'ssl_prefer_server_ciphers off;',
      'ssl_session_timeout 1d;',
      'ssl_session_cache shared:onecert:10m;',
      ...(keepsTicketKeys || tickets !== null ? [] : ['ssl_session_tickets off;']),
      `add_header Strict-Transport-Security "max-age=${profile.hstsSeconds}" always;`,
      ...(site.more ? [`include ${site.more};`] : []),
      ...(upstreams
        ? [
            'location / {',
            ...indent([
              `proxy_pass ${upstreams.scheme}://${pool};`,
              'proxy_http_version 1.1;',
              'proxy_set_header Host $host;',
              'proxy_set_header X-Real-IP $remote_addr;',
              'proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;',
              'proxy_set_header X-Forwarded-Proto https;',
            ]),
            '}',
          ]
        : []),
    ]),
    '}',
    ...(httpPort === null
      ? []
      : [
          'server {',
          ...indent([
            ...listen(request, httpPort, ''),
            `server_name ${site.name};`,
            ...challengeLines(site.challenge),
            `location / { return 301 https://$host${request.port === 443 ? '' : `:${request.port}`}$request_uri; }`,
          ]),
          '}',
        ]),
  ]
}

function listen({ bind, versions }: ConfigRequest, port: number, words: string): string[] {
  const end = words === '' ? ';' : ` ${words};`
  if (bind !== null) return [`listen ${bracketed(bind)}:${port}${end}`]
  return [
    `listen ${port}${end}`,
    versions.ipv6 ? `listen [::]:${port}${end}` : `# listen [::]:${port}${end}  where the server has IPv6`,
  ]
}

/** 1.25.1 made it a directive of its own; the old way is a warning there. */
function http2({ versions }: ConfigRequest): string[] {
  switch (atLeast(versions.software, '1.25.1')) {
    case true:
      return ['http2 on;']
    case false:
      return ['# HTTP/2 stays off: before nginx 1.25.1 it is a word of "listen", for all sites of the port.']
    default:
      return ['# http2 on;  with nginx 1.25.1 or newer']
  }
}

function challengeLines(challenge: Challenge | null): string[] {
  switch (challenge?.kind) {
    case 'webroot':
      return [`location ${challengePath} { root ${challenge.webroot}; }`]
    case 'stateless':
      return [statelessSnippet('nginx', challenge.thumbprint)]
    case 'listen':
      return [`location ${challengePath} { proxy_pass http://${challenge.address}; }`]
    default:
      return []
  }
}

/** For the main context of nginx, beside `http`: it needs the stream module with ssl_preread. */
export function nginxBalancer(request: BalancerRequest): string {
  const [first] = request.sites
  const pool = (name: string) => `onecert_${wordOf(name)}`
  const at = (port: number) => (request.bind === null ? port : `${bracketed(request.bind)}:${port}`)
  const { httpPort } = request
  const upstream = (name: string, members: readonly string[]) => [
    `upstream ${name} {`,
    // No health checks of its own: a member that refuses twice is left out for ten seconds.
    ...members.map((member) => `  server ${member} max_fails=2 fail_timeout=10s;`),
    '}',
  ]
  return [
    ...balancerHead(request),
    '# It belongs beside the http block, not into it.',
    'stream {',
    ...indent([
      'map $ssl_preread_server_name $onecert_members {',
      ...request.sites.map(({ name }) => `  ${name.replace(/^\*\./, '*.')} ${pool(name)};`),
      `  default ${pool(first.name)};`,
      ...(request.sites.some(({ name }) => name.startsWith('*')) ? ['  hostnames;'] : []),
      '}',
      ...request.sites.flatMap(({ name, members }) =>
        upstream(
          pool(name),
          members.map((member) => `${bracketed(member.address)}:${member.port}`),
        ),
      ),
      'server {',
      `  listen ${at(request.port)};`,
      '  ssl_preread on;',
      '  proxy_connect_timeout 5s;',
      '  proxy_timeout 10m;',
      ...proxyProtocolLines(request.sites.flatMap(({ members }) => members)),
      '  proxy_pass $onecert_members;',
      '}',
      ...(httpPort === null
        ? []
        : [
            '# Plain HTTP goes to the members too: they redirect, and answer challenges.',
            ...upstream(
              'onecert_http',
              [
                ...new Set(request.sites.flatMap(({ members }) => members.map(({ address }) => bracketed(address)))),
              ].map((address) => `${address}:${httpPort}`),
            ),
            'server {',
            `  listen ${at(httpPort)};`,
            '  proxy_pass onecert_http;',
            '}',
          ]),
    ]),
    '}',
    '',
  ].join('\n')
}

/** nginx sends version 1, to all members behind a listener or to none. */
function proxyProtocolLines(members: readonly Member[]): string[] {
  if (members.every(({ proxyProtocol }) => proxyProtocol === null)) return []
  return members.every(({ proxyProtocol }) => proxyProtocol !== null)
    ? ['  proxy_protocol on;']
    : ['  # Some members expect the PROXY protocol and some do not: nginx sends it to all or to none.']
}
