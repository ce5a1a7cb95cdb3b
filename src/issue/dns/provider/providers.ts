import type { Clock } from '../../../base/clock.ts'
import type { Resolver } from '../../../dns/resolver.ts'
import type { DnsProviderSettings } from '../../../fleet/fleet.ts'
import { acmeDns } from './acme-dns.ts'
import { cloudflare } from './cloudflare.ts'
import { exec } from './exec.ts'
import type { DnsProvider } from './provider.ts'
import { rfc2136 } from './rfc2136.ts'
import { route53 } from './route53.ts'

/** The provider that a fleet-file entry describes. */
export function providerOf(settings: DnsProviderSettings, resolver: Resolver, clock: Clock): DnsProvider {
  switch (settings.kind) {
    case 'rfc2136':
      return rfc2136(settings, clock)
    case 'exec': {
      const [program = '', ...words] = settings.argv
      return exec({ exec: [program, ...words] }, resolver)
    }
    case 'cloudflare':
      return cloudflare({ tokenFile: settings.tokenFile, ...endpointOf(settings) })
    case 'route53': {
      const { credentialsFile, profile, zoneId } = settings
      const zone = zoneId === undefined ? {} : { hostedZoneId: zoneId }
      return route53({ credentialsFile, profile, ...zone, ...endpointOf(settings) }, clock)
    }
    case 'acme-dns':
      return acmeDns({ accountFile: settings.accountFile, api: { endpoint: settings.url } })
  }
}

function endpointOf({ endpoint }: { readonly endpoint?: string }): { api?: { endpoint: string } } {
  return endpoint === undefined ? {} : { api: { endpoint } }
}
