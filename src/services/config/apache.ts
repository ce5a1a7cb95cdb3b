import { bracketed } from '../../pki/names.ts'
import { type Challenge, challengePath, statelessSnippet } from './challenge.ts'
import type { ConfigRequest, SiteRequest } from './request.ts'
import { groupsFor, head, indent, isTls12Allowed, pairOf, upstreamsOf, wordOf } from './text.ts'
import { atLeast } from './versions.ts'

/** Virtual hosts of Apache 2.4; `Listen` is where the configuration has it already. */
export function apacheConfig(request: ConfigRequest): string {
  const balanced = request.sites.some(({ upstreams }) => upstreams.length > 1)
  const proxied = request.sites.some(({ upstreams, challenge }) => upstreams.length > 0 || challenge?.kind === 'listen')
  const modules = [
    'ssl',
    'headers',
    ...(request.httpPort === null ? [] : ['alias', 'rewrite']),
    ...(proxied ? ['proxy', 'proxy_http'] : []),
    ...(balanced ? ['proxy_balancer', 'lbmethod_byrequests'] : []),
    ...(request.proxyProtocol ? ['remoteip'] : []),
  ]
  return [
    ...head('apache', request),
    `# Needs the modules ${modules.join(' ')}, and "Listen ${request.port}" elsewhere.`,
    ...request.sites.flatMap((site) => siteLines(site, request)),
    '',
  ].join('\n')
}

function siteLines(site: SiteRequest, request: ConfigRequest): string[] {
  const { profile, versions, httpPort, port } = request
  const curves = groupsFor(versions)
  const host = (at: number) => `<VirtualHost ${request.bind === null ? '*' : bracketed(request.bind)}:${at}>`
  return [
    host(port),
    ...indent([
      ...names(site.name),
      ...(request.proxyProtocol ? ['RemoteIPProxyProtocol On'] : []),
      'Protocols h2 http/1.1',
      'SSLEngine on',
      ...site.certificates
        .map(pairOf)
        .flatMap(({ chain, key }) => [`SSLCertificateFile ${chain}`, `SSLCertificateKeyFile ${key}`]),
      ...protocolLines(request),
      ...(curves.remark ? [curves.remark] : []),
      `SSLOpenSSLConfCmd Curves ${curves.list}`,
      ...(isTls12Allowed(profile) ? [`SSLCipherSuite ${profile.ciphers.join(':')}`] : []),
      'SSLHonorCipherOrder off',
      // The key of tickets is a new one after a restart alone.
      'SSLSessionTickets off',
      `Header always set Strict-Transport-Security "max-age=${profile.hstsSeconds}"`,
      ...proxyLines(site),
      ...(site.more ? [`IncludeOptional ${site.more}`] : []),
    ]),
    '</VirtualHost>',
    ...(httpPort === null
      ? []
      : [
          host(httpPort),
          ...indent([
            ...names(site.name),
            ...challengeLines(site.challenge),
            'RewriteEngine On',
            `RewriteCond %{REQUEST_URI} !^${challengePath.replaceAll('.', '\\.')}`,
            `RewriteRule ^ https://%{SERVER_NAME}${port === 443 ? '' : `:${port}`}%{REQUEST_URI} [R=301,L,NE]`,
            'UseCanonicalName Off',
          ]),
          '</VirtualHost>',
        ]),
  ]
}

/** ServerName cannot be a wildcard, ServerAlias can. */
function names(name: string): string[] {
  return name.startsWith('*.') ? [`ServerName wildcard${name.slice(1)}`, `ServerAlias ${name}`] : [`ServerName ${name}`]
}

/** TLS 1.3 came with 2.4.36: an older one refuses its name, but not "all". */
function protocolLines({ profile, versions }: ConfigRequest): string[] {
  if (!isTls12Allowed(profile)) return ['SSLProtocol -all +TLSv1.3']
  return atLeast(versions.software, '2.4.36')
    ? ['SSLProtocol -all +TLSv1.2 +TLSv1.3']
    : ['SSLProtocol all -SSLv3 -TLSv1 -TLSv1.1']
}

function proxyLines(site: SiteRequest): string[] {
  const upstreams = upstreamsOf(site)
  if (!upstreams) return []
  const { scheme, servers } = upstreams
  const [only = ''] = servers
  const pool = `balancer://onecert-${wordOf(site.name)}`
  const to = servers.length === 1 ? `${scheme}://${only}` : pool
  return [
    ...(scheme === 'https' ? ['SSLProxyEngine on'] : []),
    ...(servers.length === 1
      ? []
      : [`<Proxy "${pool}">`, ...servers.map((each) => `  BalancerMember "${scheme}://${each}"`), '</Proxy>']),
    'ProxyPreserveHost On',
    'RequestHeader set X-Forwarded-Proto https',
    `ProxyPass / ${to}/`,
    `ProxyPassReverse / ${to}/`,
  ]
}

function challengeLines(challenge: Challenge | null): string[] {
  switch (challenge?.kind) {
    case 'webroot': {
      const folder = `${challenge.webroot.replace(/\/+$/, '')}${challengePath}`
      return [`Alias ${challengePath} ${folder}`, `<Directory ${folder}>`, '  Require all granted', '</Directory>']
    }
    case 'stateless':
      return [statelessSnippet('apache', challenge.thumbprint)]
    case 'listen':
      return [`ProxyPass ${challengePath} http://${challenge.address}${challengePath}`]
    default:
      return []
  }
}
