import { z } from 'zod'
import { quote } from '../base/errors.ts'
import { closest } from '../base/similar.ts'
import { canonicalAddress, covers, isAddress, parseHostName } from '../pki/names.ts'
import type { Path, Source } from './source.ts'

const text = z.string().optional().catch(undefined)
const texts = z.array(text).catch([])
const members = z.object({ servers: texts }).optional().catch(undefined)

function entries<Entry extends z.ZodType>(entry: Entry) {
  return z.record(z.string(), entry.optional().catch(undefined)).optional().catch(undefined)
}

/**
 * What the entries of a fleet file say of each other, read past everything else: no other problem hides one of these.
 * What is not there or of another kind is undefined; the schema tells that.
 */
const outline = z
  .object({
    issuers: entries(z.unknown()),
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
    sites: entries(
      z.object({
        certificate: z.union([z.string(), texts]).optional().catch(undefined),
        dns: texts,
        'load-balancer': members,
        'reverse-proxy': members,
      }),
    ),
  })
  .catch({ issuers: undefined, certificates: undefined, servers: undefined, sites: undefined })

type Outline = z.output<typeof outline>

/** Unknown references, repetitions, sites that their certificate does not cover, files that a service does not read. */
export function reportInconsistencies(source: Source): void {
  const fleet = outline.parse(source.value)
  for (const [name, certificate] of Object.entries(fleet.certificates ?? {})) {
    const path = ['certificates', name]
    const issuers = certificate?.issuer
    for (const [at, each] of [issuers].flat().entries())
      refer(source, 'issuer', each, fleet.issuers, [...path, 'issuer', ...(Array.isArray(issuers) ? [at] : [])])
    reportRepeated(source, certificate?.names.map(hostNameOf) ?? [], [...path, 'names'])
    if (certificate?.tickets !== undefined) reportTicketsForNobody(source, name, fleet)
  }
  for (const [name, server] of Object.entries(fleet.servers ?? {})) {
    for (const certificate of Object.keys(server?.files ?? {}))
      refer(source, 'certificate', certificate, fleet.certificates, ['servers', name, 'files', certificate])
    if (server) reportUnfitFiles(source, name, server)
  }
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
    for (const [at, servers] of [
      [[...path, 'dns'], site?.dns],
      [[...path, 'load-balancer', 'servers'], site?.['load-balancer']?.servers],
      [[...path, 'reverse-proxy', 'servers'], site?.['reverse-proxy']?.servers],
    ] as const) {
      for (const [index, server] of (servers ?? []).entries())
        refer(source, 'server', server, fleet.servers, [...at, index])
      reportRepeated(source, servers ?? [], at)
    }
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
  const layout = written?.layout ?? (kind === 'haproxy' ? 'combined' : 'pair')
  for (const [certificate, settings] of Object.entries(files ?? {})) {
    const { chain, key, combined, mode: _mode, owner: _owner, ...misspelt } = settings ?? {}
    const paths = [chain, key, combined].some((each) => each !== undefined)
    const right = layout === 'combined' ? combined && !chain && !key : chain && key && !combined
    if (!paths || right || Object.keys(misspelt).length > 0) continue
    source.report('CONFIG_BAD_VALUE', ['servers', name, 'files', certificate], () => ({
      what: `the files of ${quote(certificate)} on ${quote(name)} do not fit ${quote(kind)}`,
      fact: layout === 'combined' ? 'it reads one file: "combined"' : 'it reads two files: "chain" and "key"',
    }))
  }
}
