import { resolve } from 'node:path'
import { parseHostName } from '../pki/names.ts'
import { acmeIssuer, zoneSettings } from './acme.ts'
import { reportInconsistencies } from './consistency.ts'
import type {
  BalancerControl,
  Certificate,
  FileSettings,
  Fleet,
  Issuer,
  Listener,
  Server,
  ServiceSettings,
  Site,
  Window,
} from './fleet.ts'
import { type FleetAsWritten, fleetSchema } from './schema.ts'
import { readSource, type Source } from './source.ts'
import { reportIssues, wording } from './wording.ts'

export interface FleetFileName {
  /** As the user typed it: messages begin with it. */
  readonly file: string
  /** Absolute; relative paths of the file are resolved against it. */
  readonly directory: string
}

/**
 * The desired state that a fleet file describes. Pure.
 * @throws OnecertError CONFIG_*, NAME_*: the first problem, with all others of the file in `also`
 */
export function parseFleet(text: Uint8Array | string, { file, directory }: FleetFileName): Fleet {
  const source = readSource(text, file)
  refuseNewerVersion(source)
  const parsed = fleetSchema.safeParse(source.value, { reportInput: true, error: wording })
  reportIssues(parsed.error?.issues ?? [], source)
  reportInconsistencies(source)
  source.refuse()
  if (!parsed.success) throw parsed.error
  return normalise(parsed.data, directory)
}

/** Alone: what else such a file says is not for this version to judge. */
function refuseNewerVersion(source: Source): void {
  const version = (source.value as { version?: unknown } | null)?.version
  if (typeof version !== 'number' || version <= 1) return
  throw source.problem('CONFIG_BAD_VALUE', ['version'], {
    what: `version ${version} is for a newer onecert`,
    fact: 'this onecert reads version 1',
    next: 'upgrade onecert',
  })
}

function normalise(written: FleetAsWritten, directory: string): Fleet {
  const named = <Written, Each>(entries: Record<string, Written>, of: (name: string, each: Written) => Each) =>
    new Map(Object.entries(entries).map(([name, each]) => [name, of(name, each)]))
  const { canary, wave } = written.rollout
  return {
    issuers: named(written.issuers, (name, each) => normaliseIssuer(name, each, directory)),
    certificates: named(written.certificates, normaliseCertificate),
    servers: named(written.servers, (name, each) => ({
      ...normaliseServer(name, each, directory),
      windows: windowsOf(each.window ?? written.locations?.[each.location ?? '']?.window),
    })),
    sites: new Map(
      Object.entries(written.sites).map(([text, each]) => {
        const name = parseHostName(text)
        const site: Site = { name, certificates: [each.certificate].flat(), topology: topologyOf(each, directory) }
        return [name, each['without-sni'] ? { ...site, withoutSni: true } : site]
      }),
    ),
    zones: new Map(
      Object.entries(written.zones).map(([text, each]) => {
        const name = parseHostName(text)
        return [name, zoneSettings(name, each, directory)]
      }),
    ),
    rollout: {
      canary,
      wave: typeof wave === 'number' ? { servers: wave } : { share: Number.parseInt(wave, 10) / 100 },
      confirmWithinMs: written.rollout['confirm-within'],
    },
  }
}

function normaliseCertificate(name: string, written: FleetAsWritten['certificates'][string]): Certificate {
  return {
    name,
    names: written.names.map((text) => parseHostName(text)),
    issuers: [written.issuer].flat(),
    key: { type: written.key.type, keepForMs: written.key['keep-for'] },
    ...(written.licence && { licence: written.licence }),
    ...(written.tickets && { tickets: { rotateMs: written.tickets.rotate } }),
  }
}

function normaliseIssuer(name: string, written: FleetAsWritten['issuers'][string], directory: string): Issuer {
  if (written.acme !== undefined) return acmeIssuer(name, { ...written, acme: written.acme }, directory)
  const ca = written['local-ca']
  if (ca) return { kind: 'local-ca', name, commonName: ca['common-name'], lifetimeMs: ca.lifetime }
  if (written.watch !== undefined) return { kind: 'watch', name, directory: resolve(directory, written.watch) }
  const { certificate, key, chain, pkcs12, 'passphrase-file': passphraseFile } = written.import ?? {}
  const path = (text: string) => resolve(directory, text)
  const passphrase = passphraseFile === undefined ? {} : { passphraseFile: path(passphraseFile) }
  if (pkcs12 !== undefined) return { kind: 'import-pkcs12', name, pkcs12: path(pkcs12), ...passphrase }
  return {
    kind: 'import-pem',
    name,
    certificate: path(certificate ?? ''),
    ...(key !== undefined && { key: path(key) }),
    ...(chain !== undefined && { chain: path(chain) }),
    ...passphrase,
  }
}

type ServerAsWritten = FleetAsWritten['servers'][string]
type BalancerAsWritten = NonNullable<FleetAsWritten['sites'][string]['load-balancer']>
type ControlAsWritten = Exclude<BalancerAsWritten['control'], undefined | readonly unknown[]>
type ListenerAsWritten = NonNullable<ServerAsWritten['listeners']>[number]

const tlsPort = 443

type WindowsAsWritten = NonNullable<ServerAsWritten['window']>

function windowsOf(written: WindowsAsWritten | undefined): Window[] {
  return (written === undefined ? [] : [written].flat()).map((each) => ({
    cron: each.cron,
    forMs: each.for,
    timeZone: each['time-zone'],
  }))
}

function addressesOf(written: ServerAsWritten['address']): Pick<Server, 'address' | 'addresses'> {
  const addresses = [written].flat()
  return { address: addresses[0] ?? '', addresses }
}

function normaliseServer(name: string, written: ServerAsWritten, directory: string): Omit<Server, 'windows'> {
  return {
    name,
    reach: reachOf(written, directory),
    ...addressesOf(written.address),
    listeners: (written.listeners ?? [{ ...written, port: written.port ?? tlsPort }]).map(listenerOf),
    ...(written.location !== undefined && { location: written.location }),
    service: serviceOf(written.service),
    directory: written.directory.replace(/\/+$/, ''),
    files: new Map(
      Object.entries(written.files ?? {}).map(([certificate, each]): [string, FileSettings] => [
        certificate,
        Object.fromEntries(Object.entries(each).filter(([, value]) => value !== undefined)) as FileSettings,
      ]),
    ),
    ...(written.webroot !== undefined && { webroot: written.webroot }),
    keyFolders: written['key-folders'].map((each) => each.replace(/\/+$/, '') || '/'),
    ...(written.include !== undefined && { include: written.include.replace(/(?<=.)\/+$/, '') }),
    probe: written.probe,
  }
}

function listenerOf({ port, starttls, 'proxy-protocol': proxyProtocol }: ListenerAsWritten): Listener {
  return { port, ...(starttls && { starttls }), ...(proxyProtocol && { proxyProtocol }) }
}

function reachOf(written: ServerAsWritten | ControlAsWritten, directory: string): Server['reach'] {
  if (written.ssh === undefined) return { kind: 'local' }
  const ssh: Exclude<ServerAsWritten['ssh'], string | undefined> =
    typeof written.ssh === 'string' ? { destination: written.ssh } : written.ssh
  const user = ssh.destination.includes('@') ? ssh.destination.split('@')[0] : undefined
  const hostKey = written['host-key']
  return {
    kind: 'ssh',
    destination: ssh.destination,
    ...(ssh.port !== undefined && { port: ssh.port }),
    hostKeys: (hostKey === undefined ? [] : [hostKey].flat()).map((each) => each.replace(/=$/, '')),
    ...(written['known-hosts'] !== undefined && { knownHosts: resolve(directory, written['known-hosts']) }),
    ...(ssh.identity !== undefined && { identity: resolve(directory, ssh.identity) }),
    sudo: ssh.sudo ?? (user !== undefined && user !== 'root'),
  }
}

function serviceOf(written: ServerAsWritten['service']): ServiceSettings {
  if (typeof written === 'string') return { kind: written }
  const [kind, settings] = Object.entries(written)[0] ?? []
  const given = Object.fromEntries(Object.entries(settings ?? {}).filter(([, value]) => value !== undefined))
  return { ...given, kind: kind as ServiceSettings['kind'] }
}

function topologyOf(written: FleetAsWritten['sites'][string], directory: string): Site['topology'] {
  const balancer = written['load-balancer']
  if (balancer) {
    const { address, servers, control } = balancer
    return {
      kind: 'load-balancer',
      address,
      ...listenerOf({ port: balancer.port, 'proxy-protocol': balancer['proxy-protocol'] }),
      servers,
      controls: (control === undefined ? [] : [control].flat()).map((each) => controlOf(each, servers, directory)),
    }
  }
  const proxy = written['reverse-proxy']
  if (proxy) {
    const upstreams = proxy.upstreams.map((each) => (typeof each === 'string' ? { url: each } : each))
    return {
      kind: 'reverse-proxy',
      servers: proxy.servers,
      standby: proxy.standby ?? [],
      upstreams: upstreams.map(({ url, server }) => ({ url, ...(server !== undefined && { server }) })),
    }
  }
  const quarantine = written.quarantine && {
    quarantine: { beforeMs: written.quarantine.before, keep: written.quarantine.keep },
  }
  return { kind: 'dns', servers: written.dns ?? [], ...quarantine }
}

function controlOf(written: ControlAsWritten, servers: readonly string[], directory: string): BalancerControl {
  const { socket, backend, members } = written.haproxy
  return {
    reach: reachOf(written, directory),
    socket,
    backend,
    members: new Map(servers.map((server) => [server, members[server] ?? server])),
    drainWithinMs: written['drain-within'],
  }
}
