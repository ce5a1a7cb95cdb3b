import type { KeyType } from '../pki/key.ts'

/** The desired state, as the fleet file says it after validation: references resolved, defaults filled in. */
export interface Fleet {
  readonly issuers: ReadonlyMap<string, Issuer>
  readonly certificates: ReadonlyMap<string, Certificate>
  readonly servers: ReadonlyMap<string, Server>
  /** By host name (lower case, A-labels; a leading `*.` is allowed). */
  readonly sites: ReadonlyMap<string, Site>
  /** By host name (lower case, A-labels). */
  readonly zones: ReadonlyMap<string, Zone>
  readonly rollout: RolloutPolicy
}

export type Issuer = ImportPemIssuer | ImportPkcs12Issuer | LocalCaIssuer | WatchIssuer | AcmeIssuer

/** A bought certificate in PEM or DER files. Paths are absolute. */
export interface ImportPemIssuer {
  readonly kind: 'import-pem'
  readonly name: string
  readonly certificate: string
  /** May be absent, or gone, once the vault holds the key. */
  readonly key?: string
  /** Intermediates, where they are not in the certificate file. */
  readonly chain?: string
  readonly passphraseFile?: string
}

export interface ImportPkcs12Issuer {
  readonly kind: 'import-pkcs12'
  readonly name: string
  readonly pkcs12: string
  readonly passphraseFile?: string
}

/** What another client keeps in a directory: whatever is newest there. The path is absolute. */
export interface WatchIssuer {
  readonly kind: 'watch'
  readonly name: string
  readonly directory: string
}

/** Root and intermediate in our own vault: for labs and internal names. */
export interface LocalCaIssuer {
  readonly kind: 'local-ca'
  readonly name: string
  readonly commonName: string
  readonly lifetimeMs: number
}

/** A CA that speaks ACME (RFC 8555). Paths are absolute. */
export interface AcmeIssuer {
  readonly kind: 'acme'
  readonly name: string
  /** The URL of its directory. */
  readonly directory: string
  readonly email: readonly string[]
  /** Roots that its own HTTPS is checked against; absent: the public ones. */
  readonly caFile?: string
  /** Roots that clients know; absent: the public ones, or what the chain leads to where `caFile` is given. */
  readonly rootsFile?: string
  readonly profile?: string
  readonly preferredChain?: string
  readonly eab?: { readonly keyId: string; readonly hmacFile: string }
  /** At least one of them. */
  readonly http01?: Http01Settings
  readonly dns01?: Dns01Settings
  readonly dnsPersist01?: DnsLookupSettings
  readonly tlsAlpn01?: TlsAlpn01Settings
}

/** Where http-01 challenges are answered. `port`: where that is looked at before the CA is told. */
export type Http01Settings = { readonly port: number } & (
  | { readonly kind: 'webroot'; readonly webroot: string }
  | { readonly kind: 'stateless' }
  | { readonly kind: 'listen'; readonly address: string; readonly listenPort: number }
)

/** Where we listen ourselves. */
export interface TlsAlpn01Settings {
  readonly address: string
  readonly port: number
}

/** How the DNS is looked at. */
export interface DnsLookupSettings {
  /** `address:port`, `[address]:port`; empty: those of this machine. */
  readonly resolvers: readonly string[]
  /** Of the authoritative name servers. */
  readonly port: number
}

export interface Dns01Settings extends DnsLookupSettings {
  readonly provider: DnsProviderSettings
  readonly withinMs: number
}

/** Dynamic updates, signed with TSIG. */
export interface UpdateSettings {
  /** The primary: `address:port`. */
  readonly server: string
  readonly keyName?: string
  readonly keyFile: string
  readonly algorithm?: 'hmac-sha256' | 'hmac-sha384' | 'hmac-sha512'
}

/** Where the addresses of servers are published. */
export interface Zone {
  readonly name: string
  readonly update: UpdateSettings
  /** Of an address where the name has none yet. */
  readonly ttlS: number
  /** As in {@link Dns01Settings}. */
  readonly resolvers: readonly string[]
  readonly port: number
  readonly withinMs: number
}

export type DnsProviderSettings =
  | ({ readonly kind: 'rfc2136'; readonly zone?: string } & UpdateSettings)
  | { readonly kind: 'exec'; readonly argv: readonly string[] }
  | { readonly kind: 'cloudflare'; readonly tokenFile: string; readonly endpoint?: string }
  | {
      readonly kind: 'route53'
      readonly credentialsFile: string
      readonly profile: string
      readonly zoneId?: string
      readonly endpoint?: string
    }
  | { readonly kind: 'acme-dns'; readonly url: string; readonly accountFile: string }

/** The policy of one lineage. */
export interface Certificate {
  readonly name: string
  readonly names: readonly string[]
  /** At least one; a later one takes over when those before it stay down. */
  readonly issuers: readonly string[]
  readonly key: { readonly type: KeyType; readonly keepForMs: number }
  /** What the CA's terms allow; absent means unlimited. */
  readonly licence?: { readonly servers: number }
  /** Session ticket keys are made, carried and rotated; absent: that is left to each server. */
  readonly tickets?: { readonly rotateMs: number }
}

export interface Server {
  readonly name: string
  readonly reach: SshReach | LocalReach
  /** The first of its addresses, for what needs one. */
  readonly address: string
  /** Where its own handshakes are looked at, each by itself, and what the DNS shows of it; no address twice. */
  readonly addresses: readonly string[]
  /** At least one; each is proved. */
  readonly listeners: readonly Listener[]
  readonly location?: string
  readonly service: ServiceSettings
  /** Generations live in `<directory>/<lineage>/gen-NNNN/`. */
  readonly directory: string
  /** Per certificate name. */
  readonly files: ReadonlyMap<string, FileSettings>
  /** What it serves over HTTP, where that is not the webroot of the issuer. */
  readonly webroot?: string
  /** Where an audit looks for copies of private keys, beside `directory`. */
  readonly keyFolders: readonly string[]
  /** The folder for include files of ours, where it is not the usual one of the service. */
  readonly include?: string
  readonly probe: 'direct' | 'through-server'
  /** When it may be changed: its own, else those of its location; empty: always. */
  readonly windows: readonly Window[]
}

/** A maintenance window: opens at each time that the cron expression names, for a while. */
export interface Window {
  /** Five fields. */
  readonly cron: string
  readonly forMs: number
  /** IANA name, such as Europe/Berlin. */
  readonly timeZone: string
}

/** A machine that a receiver can run on. */
export type Machine = Pick<Server, 'name' | 'reach' | 'addresses' | 'listeners' | 'probe'>

/** A port at which TLS is spoken, and what comes before it. */
export interface Listener {
  readonly port: number
  /** TLS begins inside of this protocol. */
  readonly starttls?: Starttls
  /** It expects the header by which a balancer names the client (HAProxy's PROXY protocol). */
  readonly proxyProtocol?: ProxyProtocol
}

export type Starttls = 'smtp' | 'imap' | 'pop3' | 'ftp' | 'ldap' | 'xmpp' | 'postgres' | 'mysql'

export type ProxyProtocol = 'v1' | 'v2'

export interface SshReach {
  readonly kind: 'ssh'
  /** `user@host` or an alias of ssh_config; never begins with `-`. */
  readonly destination: string
  readonly port?: number
  /** `SHA256:…`; two while a host key is being rotated. Empty means: not yet confirmed (or knownHosts is set). */
  readonly hostKeys: readonly string[]
  readonly knownHosts?: string
  /** Client key; else ssh's own choice (ssh_config, agent). */
  readonly identity?: string
  /** `true`: the receiver runs through `sudo -n`. */
  readonly sudo: boolean
}

export interface LocalReach {
  readonly kind: 'local'
}

/** `none`: nothing terminates TLS there, as on an upstream. */
export type ServiceKind =
  | 'nginx'
  | 'apache'
  | 'haproxy'
  | 'caddy'
  | 'postfix'
  | 'dovecot'
  | 'postgresql'
  | 'envoy'
  | 'traefik'
  | 'command'
  | 'none'

/** Which software terminates TLS, and what differs from its driver's defaults. Commands are argv lists; no shell. */
export interface ServiceSettings {
  readonly kind: ServiceKind
  readonly test?: readonly string[]
  readonly reload?: readonly string[]
  readonly start?: readonly string[]
  readonly layout?: FileLayout
  /** haproxy: the admin socket of its Runtime API. */
  readonly socket?: string
  /** caddy: its configuration file. */
  readonly config?: string
  /** postgresql: `version/name` of a Debian cluster. */
  readonly cluster?: string
  /** traefik: a file in its dynamic directory. */
  readonly dynamic?: string
}

/**
 * `pair`: fullchain.pem and privkey.pem; `combined`: one combined.pem (leaf, intermediates, key); `key-first`: one
 * combined.pem (key, leaf, intermediates).
 */
export type FileLayout = 'pair' | 'combined' | 'key-first'

/** Explicit paths that the service's configuration already names; they become links into the generation directory. */
export interface FileSettings {
  readonly chain?: string
  readonly key?: string
  readonly combined?: string
  /** Octal text of the files that hold the key, such as "0600". */
  readonly mode?: string
  /** `user:group`. */
  readonly owner?: string
}

export interface Site {
  readonly name: string
  /** One, or a pair: one with an EC key, and one with an RSA key for clients that know no other. */
  readonly certificates: readonly string[]
  readonly topology: DnsTopology | LoadBalancerTopology | ReverseProxyTopology
  /** Clients that name no host get it too: it is the default of each of its servers. */
  readonly withoutSni?: boolean
}

export interface DnsTopology {
  readonly kind: 'dns'
  readonly servers: readonly string[]
  readonly quarantine?: QuarantinePolicy
}

/** When a server is taken out of the DNS because it is not renewed. */
export interface QuarantinePolicy {
  /** Before the end of what it serves. */
  readonly beforeMs: number
  /** Addresses that always stay. */
  readonly keep: number
}

export interface LoadBalancerTopology {
  readonly kind: 'load-balancer'
  readonly address: string
  readonly port: number
  /** What the balancer itself expects before TLS. */
  readonly proxyProtocol?: ProxyProtocol
  readonly servers: readonly string[]
  /** Each balancer that can be told to drain a member; empty: none can. */
  readonly controls: readonly BalancerControl[]
}

/** HAProxy's Runtime API, on the balancer's machine. */
export interface BalancerControl {
  readonly reach: SshReach | LocalReach
  readonly socket: string
  readonly backend: string
  /** HAProxy's name of each server of the site. */
  readonly members: ReadonlyMap<string, string>
  /** A member that has sessions after this time is reloaded with them. */
  readonly drainWithinMs: number
}

export interface ReverseProxyTopology {
  readonly kind: 'reverse-proxy'
  readonly servers: readonly string[]
  /** Those of them that take over when another one fails: no name points to them meanwhile. */
  readonly standby: readonly string[]
  readonly upstreams: readonly Upstream[]
}

/** What stands behind a proxy. It holds no key of the site. */
export interface Upstream {
  readonly url: string
  /** The server that it is, where an audit is to look for keys there. */
  readonly server?: string
}

export interface RolloutPolicy {
  /** Whole servers in the first wave. */
  readonly canary: number
  /** Share of the remaining servers (0 to 1], or whole servers. */
  readonly wave: { readonly share: number } | { readonly servers: number }
  readonly confirmWithinMs: number
}

export type KeyKind = 'ecdsa' | 'rsa'

/** One lineage on one server, and the host names that must be proved there. */
export interface Placement {
  readonly server: Server
  readonly names: readonly string[]
  /** What a client sees that names no host has to be proved too. */
  readonly withoutSni?: boolean
  /** Where another lineage is served beside it: clients of which kind see this one. */
  readonly keyKind?: KeyKind
}
