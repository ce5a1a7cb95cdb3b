import { z } from 'zod'
import { quote } from '../base/errors.ts'
import { closest } from '../base/similar.ts'
import { canonicalAddress, covers, isAddress, parseHostName } from '../pki/names.ts'
import type { ServiceKind } from './fleet.ts'
import { usualLayout } from './layout.ts'
import type { Path, Source } from './source.ts'
import { zoneNameOf } from './zone.ts'

const text = z.string().optional().catch(undefined)
const texts = z.array(text).catch([])
const control = z
  .object({ haproxy: z.object({ members: z.record(z.string(), text).optional().catch(undefined) }) })
  .optional()
  .catch(undefined)
const balanced = z
  .object({ servers: texts, control: z.union([z.array(control), control]) })
  .optional()
  .catch(undefined)

function entries<Entry extends z.ZodType>(entry: Entry) {
  return z.record(z.string(), entry.optional().catch(undefined)).optional().catch(undefined)
}

/**
 * What the entries of a fleet file say of each other, read past everything else: no other problem hides one of these.
 * What is not there or of another kind is undefined; the schema tells that.
 */
const outline = z
  .object({
    issuers: entries(
      z.object({
        acme: text,
        'http-01': z.unknown().optional(),
        'dns-01': z.unknown().optional(),
        'dns-persist-01': z.unknown().optional(),
        'tls-alpn-01': z.unknown().optional(),
      }),
    ),
    certificates: entries(
      z.object({
        key: z.object({ type: text }).optional().catch(undefined),
        names: texts,
        issuer: z.union([z.string(), texts]).optional().catch(undefined),
        tickets: z.unknown().optional(),
      }),
    ),
    servers: entries(
      z.object({
        address: text,
        location: text,
        port: z.number().default(443).catch(0),
        listeners: z
          .array(z.object({ port: z.number().catch(0) }).catch({ port: 0 }))
          .optional()
          .catch(undefined),
        probe: text,
        service: z
          .union([z.string(), z.record(z.string(), z.object({ layout: text }).catch({}))])
          .optional()
          .catch(undefined),
        files: entries(z.record(z.string(), z.unknown())),
      }),
    ),
    locations: entries(z.unknown()),
    sites: entries(
      z.object({
        certificate: z.union([z.string(), texts]).optional().catch(undefined),
        dns: texts,
        'load-balancer': balanced,
        'reverse-proxy': z
          .object({
            servers: texts,
            standby: texts,
            upstreams: z.array(z.object({ server: text }).optional().catch(undefined)).catch([]),
          })
          .optional()
          .catch(undefined),
        quarantine: z.unknown().optional(),
      }),
    ),
    zones: entries(z.unknown()),
  })
  .catch({
    issuers: undefined,
    certificates: undefined,
    servers: undefined,
    locations: undefined,
    sites: undefined,
    zones: undefined,
  })

type Outline = z.output<typeof outline>

/** Unknown references, repetitions, names that cannot be proved, sites that their certificate does not cover, files that a service does not read. */
export function reportInconsistencies(source: Source): void {
  const fleet = outline.parse(source.value)
  for (const [name, certificate] of Object.entries(fleet.certificates ?? {})) {
    const path = ['certificates', name]
    const issuers = certificate?.issuer
    for (const [at, each] of [issuers].flat().entries())
      refer(source, 'issuer', each, fleet.issuers, [...path, 'issuer', ...(Array.isArray(issuers) ? [at] : [])])
    reportRepeated(source, certificate?.names.map(hostNameOf) ?? [], [...path, 'names'])
    if (certificate) reportUnprovable(source, name, certificate, fleet)
    if (certificate?.tickets !== undefined) reportTicketsForNobody(source, name, fleet)
  }
  for (const [name, server] of Object.entries(fleet.servers ?? {})) {
    for (const certificate of Object.keys(server?.files ?? {}))
      refer(source, 'certificate', certificate, fleet.certificates, ['servers', name, 'files', certificate])
    if (server) reportUnfitFiles(source, name, server)
  }
  reportEmptyLocations(source, fleet)
  reportSharedAddresses(source, fleet.servers ?? {})
  reportSitesTwice(source, Object.keys(fleet.sites ?? {}))
  for (const [name, site] of Object.entries(fleet.sites ?? {})) {
    const path = ['sites', name]
    const certificates = site?.certificate
    for (const [at, each] of [certificates].flat().entries()) {
      refer(source, 'certificate', each, fleet.certificates, [
        ...path,
        'certificate',
        ...(Array.isArray(certificates) ? [at] : []),
      ])
      reportUncovered(source, name, each, fleet)
    }
    if (Array.isArray(certificates)) reportPair(source, name, certificates, fleet)
    reportStrangers(source, [...path, 'load-balancer'], site?.['load-balancer'])
    for (const [at, servers] of [
      [[...path, 'dns'], site?.dns],
      [[...path, 'load-balancer', 'servers'], site?.['load-balancer']?.servers],
      [[...path, 'reverse-proxy', 'servers'], site?.['reverse-proxy']?.servers],
    ] as const) {
      for (const [index, server] of (servers ?? []).entries())
        refer(source, 'server', server, fleet.servers, [...at, index])
      reportRepeated(source, servers ?? [], at)
      reportWithoutService(source, servers ?? [], at, fleet)
    }
    reportProxies(source, site?.['reverse-proxy'], [...path, 'reverse-proxy'], fleet)
    if (site?.quarantine !== undefined && site.dns.length > 0) reportOutOfZones(source, name, fleet)
  }
}

function refer(
  source: Source,
  kind: string,
  name: string | undefined,
  known: Record<string, unknown> | undefined,
  path: Path,
): void {
  if (name === undefined || known === undefined || Object.hasOwn(known, name)) return
  source.report('CONFIG_UNKNOWN_REFERENCE', path, () => {
    const names = Object.keys(known).filter(({ length }) => length <= nameCharactersMax)
    const near = name.length <= nameCharactersMax ? closest(name, names) : undefined
    return {
      what: `there is no ${kind} "${quote(name)}"`,
      fact: near
        ? `did you mean "${quote(near)}"?`
        : `there is ${quote(names.join(', ') || 'none', listCharactersMax)}`,
    }
  })
}

const nameCharactersMax = 63
const listCharactersMax = 200

function hostNameOf(written: string | undefined): string | undefined {
  try {
    return written === undefined ? undefined : parseHostName(written)
  } catch {
    // The schema tells why it is none.
    return undefined
  }
}

/** The positions at which a value stands again, with the first one of each. */
function repetitions(values: readonly (string | undefined)[]): (readonly [again: number, first: number])[] {
  const first = new Map<string, number>()
  return values.flatMap((value, at) => {
    const before = value === undefined ? undefined : first.get(value)
    if (value !== undefined && before === undefined) first.set(value, at)
    return before === undefined ? [] : [[at, before] as const]
  })
}

function reportRepeated(source: Source, values: readonly (string | undefined)[], path: Path): void {
  for (const [again] of repetitions(values)) {
    source.report('CONFIG_BAD_VALUE', [...path, again], () => ({
      what: `"${quote(values[again] ?? '')}" is in "${quote(path.map(String).join('.'), 120)}" a second time`,
      next: 'take one of them away',
    }))
  }
}

function reportSitesTwice(source: Source, written: readonly string[]): void {
  for (const [again, first] of repetitions(written.map(hostNameOf))) {
    const [path, before] = [
      ['sites', written[again] ?? ''],
      ['sites', written[first] ?? ''],
    ]
    source.report(
      'CONFIG_DUPLICATE_KEY',
      path,
      () => ({
        what: `the site "${quote(written[again] ?? '')}" is here a second time`,
        fact: `the first is "${quote(written[first] ?? '')}" in line ${source.lineOf(before)}`,
        next: 'take one of them away',
      }),
      'key',
    )
  }
}

/** Else a slip in its name would open its servers at any time. */
function reportEmptyLocations(source: Source, { locations, servers }: Outline): void {
  const known = new Set(Object.values(servers ?? {}).flatMap((server) => server?.location ?? []))
  for (const name of Object.keys(locations ?? {})) {
    if (known.has(name)) continue
    source.report(
      'CONFIG_UNKNOWN_REFERENCE',
      ['locations', name],
      () => {
        const near = name.length <= nameCharactersMax ? closest(name, [...known]) : undefined
        return {
          what: `no server is in the location "${quote(name)}"`,
          fact: near
            ? `did you mean "${quote(near)}"?`
            : `there is ${quote([...known].join(', ') || 'none', listCharactersMax)}`,
        }
      },
      'key',
    )
  }
}

/** Both would be looked at by the same handshakes. Through the server an address is that server's own. */
function reportSharedAddresses(source: Source, servers: NonNullable<Outline['servers']>): void {
  const direct = Object.entries(servers).flatMap(([name, server]) => {
    if (!server || server.probe === 'through-server' || server.address === undefined || !isAddress(server.address))
      return []
    const address = canonicalAddress(server.address)
    const ports = (server.listeners ?? [server]).map(({ port }) => port).filter((port) => port > 0)
    return ports.map((port) => ({ name, endpoint: `${address} port ${port}` }))
  })
  for (const [again, first] of repetitions(direct.map(({ endpoint }) => endpoint))) {
    const [name, before] = [direct[again]?.name ?? '', direct[first]?.name ?? '']
    source.report('CONFIG_BAD_VALUE', ['servers', name, 'address'], () =>
      name === before
        ? { what: `"${quote(name)}" has a port twice`, fact: direct[again]?.endpoint ?? '' }
        : {
            what: `the servers "${quote(before)}" and "${quote(name)}" have the same address and port`,
            fact: `${direct[again]?.endpoint}; the first is in line ${source.lineOf(['servers', before, 'address'])}`,
          },
    )
  }
}

function reportUncovered(
  source: Source,
  written: string,
  certificate: string | undefined,
  { certificates }: Outline,
): void {
  const name = hostNameOf(written)
  if (certificate === undefined || !certificates || !Object.hasOwn(certificates, certificate)) return
  const names = certificates[certificate]?.names.map(hostNameOf) ?? []
  // A name that is none may be the one that was meant to cover it.
  if (name === undefined || names.length === 0 || !names.every((each) => each !== undefined) || covers(names, name))
    return
  source.report(
    'CONFIG_BAD_VALUE',
    ['sites', written],
    () => ({
      what: `the certificate "${quote(certificate)}" does not cover ${quote(name)}`,
      fact: `it names ${quote(names.join(', '), listCharactersMax)}`,
      next: `add ${quote(name)} to certificates.${quote(certificate)}.names`,
    }),
    'key',
  )
}

/** What can be told without the CA: how it would have to be convinced of each name, and that no such way is there. */
function reportUnprovable(
  source: Source,
  certificate: string,
  { names, issuer }: NonNullable<NonNullable<Outline['certificates']>[string]>,
  fleet: Outline,
): void {
  const sites = fleet.sites && Object.keys(fleet.sites).map(hostNameOf)
  for (const [at, name] of names.map(hostNameOf).entries()) {
    for (const each of [issuer].flat()) {
      const spec = each !== undefined && fleet.issuers && Object.hasOwn(fleet.issuers, each) && fleet.issuers[each]
      if (!spec || spec.acme === undefined || name === undefined) continue
      if (spec['dns-01'] !== undefined || spec['dns-persist-01'] !== undefined) continue
      const path = ['certificates', certificate, 'names', at]
      const [http, alpn] = [spec['http-01'] !== undefined, spec['tls-alpn-01'] !== undefined]
      // An issuer without any way is told by the schema; a site whose name is none may be the one that was meant.
      const nowhere = http && !alpn && sites?.every((site) => site !== undefined && site !== name)
      if (name.startsWith('*.') && (http || alpn)) {
        source.report('ACME_NO_CHALLENGE', path, () => ({
          what: `no way to prove ${quote(name)} to the issuer "${quote(each)}"`,
          fact: `it has ${[http && 'http-01', alpn && 'tls-alpn-01'].filter(Boolean).join(', ')}; a wildcard is proved by DNS alone`,
          next: `add "dns-01" to issuers.${quote(each)}`,
        }))
      } else if (!name.startsWith('*.') && nowhere) {
        source.report('CHALLENGE_NO_SERVER', path, () => ({
          what: `no server answers for ${quote(name)}`,
          fact: `the issuer "${quote(each)}" has http-01 alone, and no site has this name`,
          next: `add a site ${quote(name)}, or "dns-01" to issuers.${quote(each)}`,
        }))
      } else continue
      break
    }
  }
}

/** Which of both a client gets, its algorithms decide: so they must differ in the kind of their key, and be looked at from here. */
function reportPair(source: Source, site: string, names: readonly (string | undefined)[], fleet: Outline): void {
  const path = ['sites', site, 'certificate']
  const kinds = names.map((name) => (fleet.certificates?.[name ?? '']?.key?.type?.startsWith('rsa') ? 'RSA' : 'EC'))
  if (names.length === 2 && kinds[0] === kinds[1]) {
    source.report('CONFIG_BAD_VALUE', path, () => ({
      what: `both certificates of "${quote(site)}" have an ${kinds[0]} key`,
      fact: 'clients choose between an EC and an RSA key',
      next: 'give one of them key: { type: rsa-2048 }',
    }))
  }
  const written = fleet.sites?.[site]
  const servers = [written?.dns, written?.['load-balancer']?.servers, written?.['reverse-proxy']?.servers].flat()
  const hidden = servers.find((server) => fleet.servers?.[server ?? '']?.probe === 'through-server')
  if (hidden === undefined) return
  source.report('CONFIG_BAD_VALUE', path, () => ({
    what: `two certificates on "${quote(site)}", and ${quote(hidden)} is looked at through the server`,
    fact: 'which of both is served can be seen from here alone',
    next: `take "probe" of ${quote(hidden)} away, or one of the certificates`,
  }))
}

/** A site is served where something terminates TLS. */
function reportWithoutService(
  source: Source,
  servers: readonly (string | undefined)[],
  path: Path,
  fleet: Outline,
): void {
  for (const [index, server] of servers.entries()) {
    if (fleet.servers?.[server ?? '']?.service !== 'none') continue
    source.report('CONFIG_BAD_VALUE', [...path, index], () => ({
      what: `"${quote(server ?? '')}" terminates no TLS: its service is "none"`,
      next: 'give it a service, or take it out of this list',
    }))
  }
}

/** A standby is one of the proxies; a server behind them is none of them, for no key of the site belongs there. */
function reportProxies(
  source: Source,
  proxies: NonNullable<NonNullable<Outline['sites']>[string]>['reverse-proxy'],
  path: Path,
  fleet: Outline,
): void {
  if (!proxies) return
  for (const [at, server] of proxies.standby.entries()) {
    refer(source, 'server', server, fleet.servers, [...path, 'standby', at])
    if (server === undefined || !fleet.servers?.[server] || proxies.servers.includes(server)) continue
    source.report('CONFIG_BAD_VALUE', [...path, 'standby', at], () => ({
      what: `the standby "${quote(server)}" is not among the servers of the site`,
      next: `add it to "servers" too: it holds a copy, and is proved like the others`,
    }))
  }
  if (proxies.servers.length > 0 && proxies.servers.every((server) => proxies.standby.includes(server))) {
    source.report('CONFIG_BAD_VALUE', [...path, 'standby'], () => ({
      what: 'all servers of the site are standbys',
      next: 'take the one that clients come to out of "standby"',
    }))
  }
  for (const [at, upstream] of proxies.upstreams.entries()) {
    const server = upstream?.server
    refer(source, 'server', server, fleet.servers, [...path, 'upstreams', at, 'server'])
    if (server === undefined || !proxies.servers.includes(server)) continue
    source.report('CONFIG_BAD_VALUE', [...path, 'upstreams', at, 'server'], () => ({
      what: `"${quote(server)}" is a proxy of the site and an upstream behind it`,
      fact: 'a proxy holds the key, an upstream must not',
      next: 'take one of them away',
    }))
  }
}

/** What is to be taken out of the DNS has to be in a zone that we may change. */
function reportOutOfZones(source: Source, written: string, { zones = {} }: Outline): void {
  const name = hostNameOf(written)
  if (
    name === undefined ||
    zoneNameOf(
      name,
      Object.keys(zones).flatMap((each) => hostNameOf(each) ?? []),
    )
  )
    return
  source.report('CONFIG_BAD_VALUE', ['sites', written, 'quarantine'], () => ({
    what: `"${quote(written)}" has a quarantine, and lies in none of the zones`,
    fact: `zones: ${quote(Object.keys(zones).join(', ') || 'none', listCharactersMax)}`,
    next: 'add its zone to "zones", or take "quarantine" away',
  }))
}

/** Who is named in `control` has to be a member of the site, each by a name of its own. */
function reportStrangers(source: Source, path: Path, balancer: z.output<typeof balanced>): void {
  const servers = Object.fromEntries((balancer?.servers ?? []).map((server) => [server ?? '', true]))
  const written = balancer?.control
  for (const [at, each] of [written].flat().entries()) {
    const members = each?.haproxy.members ?? {}
    const place = [...path, 'control', ...(Array.isArray(written) ? [at] : []), 'haproxy', 'members']
    for (const server of Object.keys(members)) refer(source, 'member', server, servers, [...place, server])
    const names = Object.keys(servers).map((server) => members[server] ?? server)
    for (const [again, first] of repetitions(names)) {
      const [second, before] = [Object.keys(servers)[again] ?? '', Object.keys(servers)[first] ?? '']
      source.report('CONFIG_BAD_VALUE', place, () => ({
        what: `"${quote(before)}" and "${quote(second)}" are one server of HAProxy: "${quote(names[again] ?? '')}"`,
        next: 'give each its own name in "members"',
      }))
    }
  }
}

/** Services that take other session ticket keys with a reload (services/tickets.ts). */
const takeTickets = ['nginx', 'haproxy']

/** Of a mixed fleet those that can have them; where no server can, the wish is a mistake. */
function reportTicketsForNobody(source: Source, certificate: string, { sites, servers }: Outline): void {
  const names = Object.values(sites ?? {}).flatMap((site) =>
    [site?.certificate].flat().includes(certificate)
      ? [site?.dns ?? [], site?.['load-balancer']?.servers ?? [], site?.['reverse-proxy']?.servers ?? []].flat()
      : [],
  )
  const kinds = [...new Set(names)].map((name) => kindOf(servers?.[name ?? '']?.service))
  if (kinds.length === 0 || kinds.some((kind) => kind === undefined || takeTickets.includes(kind))) return
  source.report('CONFIG_BAD_VALUE', ['certificates', certificate, 'tickets'], () => ({
    what: `no server of "${quote(certificate)}" can take session ticket keys`,
    fact: `nginx and HAProxy take new ones with a reload; the service here is ${[...new Set(kinds)].join(', ')}`,
    next: 'take "tickets" away',
  }))
}

function kindOf(service: string | Record<string, unknown> | undefined): string | undefined {
  return typeof service === 'object' ? Object.keys(service)[0] : service
}

/** Explicit paths must fit what the service reads: a pair of files, or one combined file. */
function reportUnfitFiles(
  source: Source,
  name: string,
  { service, files }: NonNullable<NonNullable<Outline['servers']>[string]>,
): void {
  if (service === undefined) return
  const kind = kindOf(service) ?? ''
  const written = typeof service === 'string' ? undefined : service[kind]
  const layout = written?.layout ?? (Object.hasOwn(usualLayout, kind) ? usualLayout[kind as ServiceKind] : 'pair')
  for (const [certificate, settings] of Object.entries(files ?? {})) {
    const { chain, key, combined, mode: _mode, owner: _owner, ...misspelt } = settings ?? {}
    const paths = [chain, key, combined].some((each) => each !== undefined)
    const right = layout === 'pair' ? chain && key && !combined : combined && !chain && !key
    if (!paths || right || Object.keys(misspelt).length > 0) continue
    source.report('CONFIG_BAD_VALUE', ['servers', name, 'files', certificate], () => ({
      what: `the files of ${quote(certificate)} on ${quote(name)} do not fit ${quote(kind)}`,
      fact: layout === 'pair' ? 'it reads two files: "chain" and "key"' : 'it reads one file: "combined"',
    }))
  }
}
