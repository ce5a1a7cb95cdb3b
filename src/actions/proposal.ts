import { quote } from '../base/errors.ts'
import type { Additions, Entry, Value } from '../fleet/entries.ts'
import type { Fleet, Server } from '../fleet/fleet.ts'
import { covers, isAddress } from '../pki/names.ts'
import type { Discovery } from '../services/discover/discover.ts'
import { type FileFacts, type FoundFiles, namesOf } from '../services/discover/found.ts'

/** What the fleet file could say of a server. */
export interface Proposal {
  readonly entries: Required<Pick<Additions, 'servers' | 'sites'>> & Additions
  /** What it cannot say, or what is to be known, one line each. */
  readonly remarks: readonly string[]
}

type Remark = (text: string) => void
type Files = Readonly<Record<string, string>>

/**
 * What the configuration of a server says, in words of the fleet file. Pure.
 * @param address where its own handshakes are to be looked at; undefined: nobody said
 */
export function proposalFor(
  fleet: Fleet,
  server: Server,
  discoveries: readonly Discovery[],
  address: string | undefined,
): Proposal {
  const servers: Entry[] = []
  const sites: Entry[] = []
  const remarks = new Set<string>()
  const remark: Remark = (text) => void remarks.add(text)
  // What serves nothing of ours needs no entry; but something is to be said of a server that was asked for.
  const ours = discoveries.filter(({ sites: found, facts }) =>
    found.some((site) => lineageFor(fleet, namesOf(site, facts)) !== null),
  )
  const shown = ours.length > 0 ? ours : discoveries.slice(0, 1)
  for (const discovery of discoveries) {
    const { kind, sites: found, facts } = discovery
    const name = servers.length === 0 ? server.name : `${server.name}-${kind}`
    const files = new Map<string, Files>()
    for (const site of found) {
      const names = namesOf(site, facts)
      const lineage = lineageFor(fleet, names)
      const [first] = site.certificates
      if (lineage === null) {
        remark(
          `no certificate of the fleet file covers ${quote(names.join(', ') || site.names.join(', ') || 'a site without a name', 200)} (${first?.chain})`,
        )
        continue
      }
      if (first && !ownPath(server, lineage, first.chain)) {
        const entry = filesEntry(kind, first, facts, remark)
        const before = files.get(lineage)
        if (entry && before && JSON.stringify(before) !== JSON.stringify(entry))
          remark(`${kind} reads ${lineage} from several places; one is taken, the other is ${first.chain}`)
        else if (entry) files.set(lineage, entry)
      }
      for (const each of names) {
        const entry = sites.some((known) => known.name === each) ? null : siteEntry(fleet, each, lineage, name, remark)
        if (entry) sites.push(entry)
      }
    }
    if (shown.includes(discovery)) servers.push(serverEntry(server, { name, discovery, files, address }, remark))
  }
  return { entries: { issuers: [], certificates: [], servers, sites }, remarks: [...remarks] }
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

/** null: the fleet file cannot say it. */
function filesEntry(
  kind: string,
  { chain, key }: FoundFiles,
  facts: ReadonlyMap<string, FileFacts>,
  remark: Remark,
): Files | null {
  const combined = kind === 'haproxy'
  if (combined !== (key === null)) {
    remark(
      combined
        ? `HAProxy reads the key of ${chain} from a file of its own (${key}): put both into one`
        : `${chain} holds chain and key: write them into two files`,
    )
    return null
  }
  const found = facts.get(key ?? chain)
  const mode = found?.mode.padStart(4, '0')
  if (mode !== undefined && !modes.includes(mode)) remark(`${key ?? chain} has the mode ${mode}; onecert makes it 0600`)
  return {
    ...(key === null ? { combined: chain } : { chain, key }),
    ...(mode !== undefined && mode !== '0600' && modes.includes(mode) && { mode }),
    ...(found && found.owner !== 'root:root' && /^[a-z_][a-z0-9_:-]*$/.test(found.owner) && { owner: found.owner }),
  }
}

function serverEntry(
  server: Server,
  told: {
    readonly name: string
    readonly discovery: Discovery
    readonly files: ReadonlyMap<string, Files>
    readonly address: string | undefined
  },
  remark: Remark,
): Entry {
  const { name, discovery, files } = told
  const listens = discovery.sites.flatMap((site) => site.listens)
  const port = (listens.find((each) => each.port === 443) ?? listens[0])?.port ?? 443
  const given = told.address ?? (server.address === '' ? undefined : server.address)
  const own = listens.find(({ address }) => address !== null && isAddress(address) && !/^(127\.|::1$)/.test(address))
  const address =
    given ?? own?.address ?? listens.find(({ address: each }) => each !== null && isAddress(each))?.address
  if (address == null) remark(`${name}: the configuration does not say at which address it is looked at: --address`)
  return {
    name,
    comments: [],
    value: {
      ...reachValue(server.reach),
      ...(address != null && { address }),
      ...(port !== 443 && { port }),
      service: discovery.kind,
      ...(files.size > 0 && { files: Object.fromEntries(files) }),
    },
  }
}

function reachValue(reach: Server['reach']): Record<string, Value> {
  if (reach.kind === 'local') return { local: true }
  const { destination, port, identity, sudo, hostKeys } = reach
  const also = {
    ...(port !== undefined && { port }),
    ...(identity !== undefined && { identity }),
    ...(sudo !== needsSudo(destination) && { sudo }),
  }
  return {
    ssh: Object.keys(also).length === 0 ? destination : { destination, ...also },
    ...(hostKeys[0] !== undefined && { 'host-key': hostKeys[0] }),
  }
}

export function needsSudo(destination: string): boolean {
  const [user, host] = destination.split('@')
  return host !== undefined && user !== 'root'
}

/** null: the fleet file has the site. */
function siteEntry(fleet: Fleet, name: string, lineage: string, server: string, remark: Remark): Entry | null {
  const there = fleet.sites.get(name)
  if (!there) return { name, value: { certificate: lineage, dns: [server] }, comments: [] }
  if (!there.topology.servers.includes(server))
    remark(`the site ${name} is in the fleet file, without ${server}: add it to its ${there.topology.kind} servers`)
  return null
}
