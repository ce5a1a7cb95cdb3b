import type { KeyCopy } from '../ledger/keycopies.ts'
import { counted } from '../pki/text.ts'
import { type Finding, finding } from './finding.ts'

/** What is known of the copies of one lineage's keys. */
export interface Copies {
  readonly certificate: string
  /** Servers of its sites, in fleet-file order: where a copy belongs. */
  readonly placed: readonly string[]
  /** By the record. */
  readonly recorded: readonly KeyCopy[]
  /** Servers of its sites on which a key of the lineage was seen. */
  readonly seen: ReadonlySet<string>
  /** Files with a key of the lineage on servers that are none of its sites', nor stand behind one. */
  readonly strange: readonly {
    readonly server: string
    readonly path: string
    readonly mode: string
    readonly owner: string
  }[]
  /** What the licence allows; absent: any number. */
  readonly seats: number | undefined
  /** The sites that a server is on. */
  readonly sitesOn: (server: string) => readonly string[]
}

/** Copies that the licence has no seat for, and copies on servers that no site of the certificate is on. Pure. */
export function judgeCopies(copies: Copies): Finding[] {
  const byServer = Map.groupBy(copies.recorded, ({ server }) => server)
  const left = [...byServer].filter(([server]) => !copies.placed.includes(server))
  return [...withoutSeat(copies, byServer, left.length), ...leftBehind(copies, left)]
}

type ByServer = ReadonlyMap<string, readonly KeyCopy[]>

/** Those that come first in the fleet file have the seats. One that was left behind needs one too. */
function withoutSeat({ certificate, placed, seen, seats }: Copies, byServer: ByServer, left: number): Finding[] {
  if (seats === undefined) return []
  const holders = placed.filter((server) => byServer.has(server) || seen.has(server))
  return holders.slice(Math.max(0, seats - left)).map((server) =>
    finding('no-seat', {
      certificate,
      server,
      what: sure(byServer.get(server) ?? [], 'has a copy of the private key that the licence has no seat for'),
      expected: `${counted(seats, 'server')} with a copy`,
      disk: `${holders.length + left} with one`,
      repair: `buy seats for ${certificate} and raise its licence, or: onecert server remove ${server}`,
    }),
  )
}

function leftBehind(
  { certificate, strange, sitesOn }: Copies,
  left: readonly (readonly [string, readonly KeyCopy[]])[],
): Finding[] {
  const found = { certificate, expected: 'no copy: no site of the certificate is on it' }
  const recorded = left.map(([server, copies]) =>
    finding('key-left', {
      ...found,
      server,
      what: sure(
        copies,
        'has a copy of the private key, by the record, and no site of the certificate is on it any more',
      ),
      disk: copies.map(({ path }) => path).join(', '),
      repair: removal(server, copies, sitesOn(server)),
    }),
  )
  const known = new Set(left.flatMap(([server, copies]) => copies.map(({ path }) => `${server} ${path}`)))
  const files = strange
    .filter(({ server, path }) => !known.has(`${server} ${path}`))
    .map(({ server, path, mode, owner }) =>
      finding('key-left', {
        ...found,
        server,
        place: path,
        what: 'has a copy of the private key, and no site of the certificate is on it',
        disk: `mode ${mode}, ${owner}`,
        repair: `on ${server}: delete ${path}; if others had access: onecert renew ${certificate} --rekey`,
      }),
    )
  return [...recorded, ...files]
}

/** A server that serves other sites is to go on with that. */
function removal(server: string, copies: readonly KeyCopy[], sites: readonly string[]): string {
  const remove = `onecert server remove ${server}`
  if (sites.length === 0) return remove
  const paths = copies.map(({ path }) => path).join(' ')
  return `on ${server}: delete ${paths}; on record they are until ${remove}, which takes it out of ${sites.join(', ')} too`
}

function sure(copies: readonly KeyCopy[], what: string): string {
  return copies.length === 0 || copies.some(({ certain }) => certain)
    ? what
    : `${what}; it may have none: it was being written when that was interrupted`
}
