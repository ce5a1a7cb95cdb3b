import type { Challenge } from './challenge.ts'
import type { Profile } from './profile.ts'
import type { Versions } from './versions.ts'

/** What a configuration is made for: one server that ends TLS, and its sites. */
export interface ConfigRequest {
  readonly profile: Profile
  readonly versions: Versions
  /** The address to listen at; null: all of the machine. */
  readonly bind: string | null
  readonly port: number
  /** A balancer names the client before TLS. */
  readonly proxyProtocol: boolean
  /** The folder of the session ticket keys, which all names at a port share; null: the servers have none in common. */
  readonly tickets: string | null
  /** Where plain HTTP is redirected to HTTPS; null: nowhere. */
  readonly httpPort: number | null
  readonly sites: readonly [SiteRequest, ...SiteRequest[]]
}

export interface SiteRequest {
  /** A host name; a leading `*.` is allowed. */
  readonly name: string
  /** One, or one with an EC key and one with an RSA key. */
  readonly certificates: readonly CertificateFiles[]
  /** `http://` and `https://` URLs; empty: the server has the content itself. */
  readonly upstreams: readonly string[]
  readonly challenge: Challenge | null
  /** Files with more configuration of this site, which are never written by us: a pattern; null where there is no such thing. */
  readonly more: string | null
}

export type CertificateFiles =
  | { readonly layout: 'pair'; readonly chain: string; readonly key: string }
  | { readonly layout: 'combined'; readonly combined: string }

/** The configuration of a balancer that passes TLS through, for sites that share its address and port. */
export interface BalancerRequest {
  readonly bind: string | null
  readonly port: number
  readonly httpPort: number | null
  readonly sites: readonly [BalancedSite, ...BalancedSite[]]
}

export interface BalancedSite {
  readonly name: string
  readonly members: readonly Member[]
}

export interface Member {
  readonly name: string
  readonly address: string
  readonly port: number
  /** The version of the PROXY protocol that it expects; null: none. */
  readonly proxyProtocol: 'v1' | 'v2' | null
}
