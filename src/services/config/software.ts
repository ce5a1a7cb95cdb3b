import { apacheConfig } from './apache.ts'
import { caddyConfig } from './caddy.ts'
import { haproxyBalancer, haproxyConfig } from './haproxy.ts'
import { nginxBalancer, nginxConfig } from './nginx.ts'
import type { BalancerRequest, ConfigRequest } from './request.ts'
import type { Software } from './versions.ts'

/** Configuration that ends TLS for sites, by software. Pure. */
export const configOf: Readonly<Record<Software, (request: ConfigRequest) => string>> = {
  nginx: nginxConfig,
  apache: apacheConfig,
  haproxy: haproxyConfig,
  caddy: caddyConfig,
}

/** Configuration that passes TLS through to members, by software. Pure. */
export const balancerOf: Readonly<Partial<Record<Software, (request: BalancerRequest) => string>>> = {
  haproxy: haproxyBalancer,
  nginx: nginxBalancer,
}

export function isSoftware(kind: string): kind is Software {
  return Object.hasOwn(configOf, kind)
}

export const softwareKinds = Object.keys(configOf) as readonly Software[]

/** Where an include file of ours goes, where the fleet file does not say it; absent: only the fleet file can. */
export const includeDirectories: Readonly<Partial<Record<Software, string>>> = {
  nginx: '/etc/nginx/conf.d',
  // Virtual hosts are there, on Debian; conf-enabled is read before them.
  apache: '/etc/apache2/sites-enabled',
}

/** The name of an include file: one for each site, but for HAProxy, where one frontend has all. */
export function includeFile(software: Software, site: string): string {
  const word = site.replace(/^\*/, '_')
  switch (software) {
    case 'haproxy':
      return 'onecert.cfg'
    case 'caddy':
      return `onecert-${word}.caddyfile`
    default:
      return `onecert-${word}.conf`
  }
}
