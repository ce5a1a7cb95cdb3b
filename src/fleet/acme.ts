import { resolve } from 'node:path'
import { bracketed } from '../pki/names.ts'
import type {
  AcmeIssuer,
  Dns01Settings,
  DnsLookupSettings,
  DnsProviderSettings,
  Http01Settings,
  UpdateSettings,
  Zone,
} from './fleet.ts'
import type { FleetAsWritten } from './schema.ts'

type Written = FleetAsWritten['issuers'][string]
type WrittenDns = NonNullable<Written['dns-01']>

/** An ACME issuer as the fleet file describes it: paths resolved against `directory`. */
export function acmeIssuer(name: string, written: Written & { readonly acme: string }, directory: string): AcmeIssuer {
  const path = (text: string) => resolve(directory, text)
  const { email, profile, eab, 'http-01': http, 'dns-01': dns, 'tls-alpn-01': alpn } = written
  const { 'dns-persist-01': persist } = written
  const { 'ca-file': caFile, 'roots-file': rootsFile, 'preferred-chain': preferredChain } = written
  return {
    kind: 'acme',
    name,
    directory: written.acme,
    email: email === undefined ? [] : [email].flat(),
    ...(caFile !== undefined && { caFile: path(caFile) }),
    ...(rootsFile !== undefined && { rootsFile: path(rootsFile) }),
    ...(profile !== undefined && { profile }),
    ...(preferredChain !== undefined && { preferredChain }),
    ...(eab && { eab: { keyId: eab['key-id'], hmacFile: path(eab['hmac-file']) } }),
    ...(http && { http01: http01(http) }),
    ...(dns && { dns01: dns01(dns, path) }),
    ...(persist && { dnsPersist01: lookup(persist) }),
    ...(alpn && { tlsAlpn01: endpoint(alpn.listen) }),
  }
}

function http01({ webroot, listen, port }: NonNullable<Written['http-01']>): Http01Settings {
  if (webroot !== undefined) return { kind: 'webroot', webroot, port }
  if (listen === undefined) return { kind: 'stateless', port }
  const own = endpoint(listen)
  return { kind: 'listen', address: own.address, listenPort: own.port, port }
}

function endpoint(text: string): { address: string; port: number } {
  const [, address = '', port] = /^(.*):(\d+)$/.exec(text) ?? []
  return { address: address.replace(/^\[|\]$/g, ''), port: Number(port) }
}

function dns01(written: WrittenDns, path: (text: string) => string): Dns01Settings {
  return { provider: provider(written, path), ...lookup(written), withinMs: written.within }
}

function lookup({ resolvers = [], port }: NonNullable<Written['dns-persist-01']>): DnsLookupSettings {
  return { resolvers: resolvers.map(withPort), port }
}

function provider(written: WrittenDns, path: (text: string) => string): DnsProviderSettings {
  const { rfc2136, exec, cloudflare, route53, 'acme-dns': acmeDns } = written
  if (rfc2136) {
    const { zone, ...update } = rfc2136
    return { kind: 'rfc2136', ...(zone !== undefined && { zone }), ...updateSettings(update, path) }
  }
  if (cloudflare) {
    const { 'token-file': tokenFile, endpoint } = cloudflare
    return { kind: 'cloudflare', tokenFile: path(tokenFile), ...(endpoint !== undefined && { endpoint }) }
  }
  if (route53) {
    const { 'credentials-file': credentialsFile, profile, 'zone-id': zoneId, endpoint } = route53
    return {
      kind: 'route53',
      credentialsFile: path(credentialsFile),
      profile,
      ...(zoneId !== undefined && { zoneId }),
      ...(endpoint !== undefined && { endpoint }),
    }
  }
  if (acmeDns) return { kind: 'acme-dns', url: acmeDns.url, accountFile: path(acmeDns['account-file']) }
  const [program = '', ...words] = exec ?? []
  // A bare name is looked for in the PATH.
  return { kind: 'exec', argv: [program.includes('/') ? path(program) : program, ...words] }
}

/** Where addresses are published, with `name` as it is in the DNS. */
export function zoneSettings(name: string, written: FleetAsWritten['zones'][string], directory: string): Zone {
  const { rfc2136, ttl, resolvers = [], port, within } = written
  return {
    name,
    update: updateSettings(rfc2136, (text) => resolve(directory, text)),
    ttlS: Math.ceil(ttl / 1000),
    resolvers: resolvers.map(withPort),
    port,
    withinMs: within,
  }
}

function updateSettings(
  written: FleetAsWritten['zones'][string]['rfc2136'],
  path: (text: string) => string,
): UpdateSettings {
  const { server, 'key-name': keyName, 'key-file': keyFile, algorithm } = written
  return {
    server: withPort(server),
    ...(keyName !== undefined && { keyName }),
    keyFile: path(keyFile),
    ...(algorithm !== undefined && { algorithm }),
  }
}

/** `address:53` where no port is given. */
function withPort(text: string): string {
  if (/^\[.*\]:\d+$|^[\d.]+:\d+$/.test(text)) return text
  return `${bracketed(text)}:53`
}
