import { fail, quote } from '../base/errors.ts'
import type { Additions, Entry } from '../fleet/entries.ts'
import type { Fleet, Server, SshReach } from '../fleet/fleet.ts'
import { covers, isAddress } from '../pki/names.ts'
import type { Connection } from '../reach/connection.ts'
import { expectOk } from '../rollout/conversation.ts'
import { receiverFor } from '../rollout/receiver.ts'
import { type Discovery, readDiscovery } from '../services/discover/discover.ts'
import { discoverable } from '../services/discover/dump.ts'
import { type FileFacts, type FoundFiles, type FoundSite, namesOf } from '../services/discover/found.ts'
import { withConnection } from './connection.ts'
import type { Context } from './context.ts'

export interface DiscoverOptions {
  /** For a server that the fleet file does not have. */
  readonly reach?: { readonly ssh: string; readonly hostKeys: readonly string[] } | { readonly local: true }
  /** Where its own handshakes are to be looked at. */
  readonly address?: string
}

export interface Discovered {
  readonly server: string
  /** It is in the fleet file already. */
  readonly known: boolean
  readonly discoveries: readonly Discovery[]
  /** What the fleet file could say of it. */
  readonly entries: Required<Pick<Additions, 'servers' | 'sites'>> & Additions
  /** What it cannot say, or what is to be known, one line each. */
  readonly remarks: readonly string[]
}

/**
 * Reads the configuration of what ends TLS on a server, and says it in words of the fleet file. Nothing is changed there, and no
 * private key is opened.
 * @throws OnecertError DISCOVER_NOTHING, SERVER_UNKNOWN, SSH_*
 */
export async function discover(context: Context, name: string, options: DiscoverOptions): Promise<Discovered> {
  const { fleet } = context
  const listed = fleet.servers.get(name)
  if (listed && options.reach) {
    fail('USAGE', {
      what: `${name} is in the fleet file already: it says how ${name} is reached`,
      next: `onecert server discover ${name}`,
    })
  }
  const server = listed ?? strange(name, options)
  const discoveries: Discovery[] = []
  const remarks: string[] = []
  await withConnection(context, server, receiverFor(fleet, server, 'configuration'), async (connection) => {
    for (const kind of discoverable) {
      const { found, cut } = await ask(connection, kind, name)
      if (cut) remarks.push(`the configuration of ${kind} is longer than is read: there may be more`)
      if (found.sites.length > 0) discoveries.push(found)
    }
  })
  if (discoveries.length === 0) {
    fail('DISCOVER_NOTHING', {
      what: `no configuration on ${name} names a certificate`,
      fact: `looked for ${discoverable.join(', ')}, as an account that may or may not read them`,
      state: 'nothing was changed',
      next: 'connect with an account that may read the configuration, or write the entry by hand: docs/fleet-file.md',
    })
  }
  return {
    server: name,
    known: listed !== undefined,
    discoveries,
    ...proposal(fleet, server, discoveries, options, remarks),
  }
}

async function ask(
  connection: Connection,
  kind: (typeof discoverable)[number],
  server: string,
): Promise<{ found: Discovery; cut: boolean }> {
  const answer = await connection.request('discover', [kind])
  const facts = expectOk(answer, `reading the configuration of ${server}`, 'nothing was changed')
  return { found: readDiscovery(kind, answer.output), cut: facts.get('cut') === 'yes' }
}

/** A server as far as it can be reached. */
function strange(name: string, { reach, address }: DiscoverOptions): Server {
  if (!/^[a-z0-9](?:[a-z0-9_-]|\.(?!\.)){0,62}$/.test(name)) {
    fail('USAGE', {
      what: `"${quote(name)}" cannot be the name of a server`,
      next: 'lower-case letters, digits, ".", "_" and "-"',
    })
  }
  if (reach === undefined) {
    fail('SERVER_UNKNOWN', {
      what: `no server "${name}" in the fleet file`,
      state: 'nothing was changed',
      next: `say how it is reached: onecert server discover ${name} --ssh root@HOST, or --local`,
    })
  }
  const way: Server['reach'] =
    'local' in reach
      ? { kind: 'local' }
      : { kind: 'ssh', destination: reach.ssh, hostKeys: reach.hostKeys, sudo: needsSudo(reach.ssh) }
  return {
    name,
    reach: way,
    address: address ?? addressIn(way) ?? '',
    listeners: [{ port: 443 }],
    service: { kind: 'none' },
    directory: '/etc/onecert',
    files: new Map(),
    keyFolders: [],
    windows: [],
    probe: 'direct',
  }
}

function needsSudo(destination: string): boolean {
  const [user, host] = destination.split('@')
  return host !== undefined && user !== 'root'
}

function addressIn(reach: Server['reach']): string | undefined {
  const host = reach.kind === 'ssh' ? (reach.destination.split('@').at(-1) ?? '').replace(/^\[(.*)\]$/, '$1') : ''
  return isAddress(host) ? host : undefined
}

function proposal(
  fleet: Fleet,
  server: Server,
  discoveries: readonly Discovery[],
  options: DiscoverOptions,
  remarks: string[],
): Pick<Discovered, 'entries' | 'remarks'> {
  const servers: Entry[] = []
  const sites: Entry[] = []
  // What serves nothing of ours needs no entry; but something is to be said of a server that was asked for.
  const ours = discoveries.filter(({ sites: found, facts }) =>
    found.some((site) => lineageFor(fleet, namesOf(site, facts)) !== null),
  )
  const shown = ours.length > 0 ? ours : discoveries.slice(0, 1)
  for (const discovery of discoveries) {
    const { kind, sites: found, facts } = discovery
    const name = servers.length === 0 ? server.name : `${server.name}-${kind}`
    const files = new Map<string, ReturnType<typeof filesEntry>>()
    for (const site of found) {
      const names = namesOf(site, facts)
      const lineage = lineageFor(fleet, names)
      if (lineage === null) {
        remarks.push(
          `no certificate of the fleet file covers ${quote(names.join(', ') || site.names.join(', ') || 'a site without a name', 200)} (${site.certificates[0]?.chain})`,
        )
        continue
      }
      const [first] = site.certificates
      if (first && !ownPath(server, lineage, first.chain)) {
        const entry = filesEntry(kind, first, facts, remarks)
        const before = files.get(lineage)
        if (entry && before && JSON.stringify(before) !== JSON.stringify(entry))
          remarks.push(`${kind} reads ${lineage} from several places; one is taken, the other is ${first.chain}`)
        else if (entry) files.set(lineage, entry)
      }
      for (const each of names) proposeSite(fleet, sites, each, lineage, name, remarks)
    }
    if (shown.includes(discovery)) servers.push(serverEntry(name, server, kind, found, files, options, remarks))
  }
  return { entries: { issuers: [], certificates: [], servers, sites }, remarks: [...new Set(remarks)] }
}

function lineageFor({ certificates }: Fleet, names: readonly string[]): string | null {
  if (names.length === 0) return null
  for (const { name, names: own } of certificates.values()) if (names.every((each) => covers(own, each))) return name
  return null
}

/** Below `current` of the lineage: the fleet file has nothing to say of it. */
function ownPath({ directory }: Server, lineage: string, path: string): boolean {
  return path.startsWith(`${directory}/${lineage}/current/`)
}

const modes = ['0400', '0440', '0600', '0640']

function filesEntry(
  kind: string,
  { chain, key }: FoundFiles,
  facts: ReadonlyMap<string, FileFacts>,
  remarks: string[],
): Readonly<Record<string, string>> | null {
  const combined = kind === 'haproxy'
  if (combined !== (key === null)) {
    remarks.push(
      combined
        ? `HAProxy reads the key of ${chain} from a file of its own (${key}): put both into one`
        : `${chain} holds chain and key: write them into two files`,
    )
    return null
  }
  const found = facts.get(key ?? chain)
  const mode = found?.mode.padStart(4, '0')
  if (mode !== undefined && !modes.includes(mode))
    remarks.push(`${key ?? chain} has the mode ${mode}; onecert makes it 0600`)
  return {
    ...(key === null ? { combined: chain } : { chain, key }),
    ...(mode !== undefined && mode !== '0600' && modes.includes(mode) && { mode }),
    ...(found && found.owner !== 'root:root' && /^[a-z_][a-z0-9_:-]*$/.test(found.owner) && { owner: found.owner }),
  }
}

function serverEntry(
  name: string,
  server: Server,
  kind: string,
  found: readonly FoundSite[],
  files: ReadonlyMap<string, Readonly<Record<string, string>> | null>,
  options: DiscoverOptions,
  remarks: string[],
): Entry {
  const listens = found.flatMap((site) => site.listens)
  const port = (listens.find((each) => each.port === 443) ?? listens[0])?.port ?? 443
  const told = options.address ?? (server.address === '' ? undefined : server.address)
  const own = listens.find(({ address }) => address !== null && isAddress(address) && !/^(127\.|::1$)/.test(address))
  const address = told ?? own?.address ?? listens.find(({ address: each }) => each !== null && isAddress(each))?.address
  if (address == null)
    remarks.push(`${name}: the configuration does not say at which address it is looked at: --address`)
  const written = Object.fromEntries([...files].flatMap(([lineage, each]) => (each ? [[lineage, each]] : [])))
  return {
    name,
    comments: [],
    value: {
      ...reachValue(server.reach),
      ...(address != null && { address }),
      ...(port !== 443 && { port }),
      service: kind,
      ...(Object.keys(written).length > 0 && { files: written }),
    },
  }
}

function reachValue(reach: Server['reach']): Record<string, string | true> {
  if (reach.kind === 'local') return { local: true }
  const { destination, hostKeys }: SshReach = reach
  return { ssh: destination, ...(hostKeys[0] !== undefined && { 'host-key': hostKeys[0] }) }
}

function proposeSite(
  fleet: Fleet,
  sites: Entry[],
  name: string,
  lineage: string,
  server: string,
  remarks: string[],
): void {
  const there = fleet.sites.get(name)
  if (there) {
    if (!there.topology.servers.includes(server))
      remarks.push(
        `the site ${name} is in the fleet file, without ${server}: add it to its ${there.topology.kind} servers`,
      )
    return
  }
  if (sites.some((each) => each.name === name)) return
  sites.push({ name, value: { certificate: lineage, dns: [server] }, comments: [] })
}
