import { fail } from '../../base/errors.ts'
import { groups, type Profile, postQuantumGroup } from './profile.ts'
import type { BalancerRequest, CertificateFiles, ConfigRequest, SiteRequest } from './request.ts'
import { atLeast, type Software, type Versions } from './versions.ts'

/** The beginning of the first line of a file that is ours: the receiver replaces and removes no other. */
const marker = '# Made by onecert'

export function head(software: Software, { profile, versions, sites }: ConfigRequest): string[] {
  const known = [
    `${software} ${versions.software ?? 'of a version that is not known'}`,
    ...(software === 'caddy' ? [] : [`OpenSSL ${versions.openssl ?? 'of a version that is not known'}`]),
  ]
  return [
    `${marker} config for ${sites.map(({ name }) => name).join(', ')}. Changes here are lost with the next --install.`,
    `# TLS after Mozilla's guidelines 6.0, ${profile.name}; for ${known.join(', ')}.`,
  ]
}

export function balancerHead({ sites }: BalancerRequest): string[] {
  return [
    `${marker} config for the balancer of ${sites.map(({ name }) => name).join(', ')}. TLS passes through: no key is here.`,
  ]
}

/** The key exchange groups, in OpenSSL's names, and why one of the profile is missing. */
export function groupsFor(versions: Versions): { readonly list: string; readonly remark: string | null } {
  const knows = atLeast(versions.openssl, '3.5')
  if (knows) return { list: [postQuantumGroup, ...groups].join(':'), remark: null }
  const why = knows === null ? 'where OpenSSL is 3.5 or newer, which is not known' : 'with OpenSSL 3.5 or newer'
  return { list: groups.join(':'), remark: `# ${postQuantumGroup} belongs first in this list ${why}.` }
}

export function indent(lines: readonly string[], by = '  '): string[] {
  return lines.flatMap((line) => line.split('\n')).map((line) => (line === '' ? '' : `${by}${line}`))
}

/** A word that every software takes as the name of something, for a host name. */
export function wordOf(name: string): string {
  return name.replace(/^\*/, '_').replaceAll(/[^A-Za-z0-9_.-]/g, '_')
}

export interface Upstreams {
  readonly scheme: 'http' | 'https'
  /** `host:port`; an IPv6 address in brackets. */
  readonly servers: readonly string[]
}

/** @throws OnecertError CONFIG_BAD_VALUE */
export function upstreamsOf({ name, upstreams }: SiteRequest): Upstreams | null {
  if (upstreams.length === 0) return null
  const urls = upstreams.map((text) => new URL(text))
  const scheme = urls[0]?.protocol.slice(0, -1)
  const plain = ({ protocol, pathname, search, username }: URL) =>
    protocol === `${scheme}:` && pathname === '/' && search === '' && username === ''
  if ((scheme !== 'http' && scheme !== 'https') || !urls.every(plain)) {
    fail('CONFIG_BAD_VALUE', {
      what: `no configuration can be made for the upstreams of ${name}`,
      fact: upstreams.join(', '),
      state: 'nothing was changed',
      next: 'write them all with http:// or all with https://, without path and account',
    })
  }
  return { scheme, servers: urls.map(({ hostname, port }) => `${hostname}:${port || (scheme === 'http' ? 80 : 443)}`) }
}

/** A file with both is taken as either by all of them. */
export function pairOf(files: CertificateFiles): { readonly chain: string; readonly key: string } {
  return files.layout === 'pair' ? files : { chain: files.combined, key: files.combined }
}

export function isTls12Allowed({ versions }: Profile): boolean {
  return versions.includes('TLSv1.2')
}
