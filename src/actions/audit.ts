import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { judgeBalancer } from '../audit/balancer.ts'
import { judgeConfigured, type OwnFiles } from '../audit/configured.ts'
import type { Desired } from '../audit/desired.ts'
import { type DiskJudged, judgeDisk } from '../audit/disk.ts'
import { type Finding, finding, inOrder, whileChanging } from '../audit/finding.ts'
import { judgeKeys } from '../audit/keys.ts'
import { judgeRevokedCurrent, judgeRevokedServed } from '../audit/revoked.ts'
import { judgeRights } from '../audit/rights.ts'
import { judgeServed } from '../audit/served.ts'
import { onStandby } from '../audit/standby.ts'
import { type Subject, subject } from '../audit/subject.ts'
import { asOnecertError, type OnecertError } from '../base/errors.ts'
import { inLanes } from '../base/lanes.ts'
import type { Certificate, Fleet, Placement, Server, Upstream } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { sourcesOf } from '../issue/sources.ts'
import { endpointText } from '../observe/endpoint.ts'
import { handshake } from '../observe/handshake.ts'
import { parseCertificates } from '../pki/certificate.ts'
import { turnOf } from '../rollout/turn.ts'
import { auditCaa } from './audit-caa.ts'
import { auditCopies } from './audit-copies.ts'
import { auditNames } from './audit-names.ts'
import { type Choice, chosenCertificates, readSites } from './choice.ts'
import type { Context } from './context.ts'
import { lookAtAll } from './look.ts'
import { handshakesOf, type LookedAgain, lookAgain } from './look-again.ts'
import { resumptionOf } from './resumption.ts'
import { revocationOf } from './revoke.ts'
import { sampleBalancers } from './sample.ts'
import { lastSeen, recordSeen, since } from './seen.ts'
import { keyRightsOf, type Visit, visit } from './visit.ts'

export interface Audit {
  /** Of all subjects, the worst first. `unreachable` is neither good nor bad. */
  readonly findings: readonly Finding[]
  /** Each thing that was looked at, also where nothing was found. */
  readonly subjects: readonly Subject[]
  /** How much was looked at. */
  readonly looked: {
    readonly certificates: number
    readonly endpoints: number
    /** Connections to them: several to each that answers. */
    readonly handshakes: number
    /** Servers whose files were looked at. */
    readonly disks: number
    readonly upstreams: number
  }
}

/** How far it has come; for a person who waits. */
export interface AuditProgress {
  readonly doing: string
  readonly done: number
  readonly of: number
}

export type OnAuditProgress = (progress: AuditProgress) => void

const parallel = 16
const handshakeTimeoutMs = 5_000

/**
 * What should be, what lies on the servers and what they serve, compared: each difference is named. Nothing is changed but
 * the store, which keeps when what was seen; no private key leaves a server: whose key it is, the server computes itself.
 */
export async function audit(context: Context, choice: Choice, onProgress: OnAuditProgress = () => {}): Promise<Audit> {
  const { fleet, store, clock, signal } = context
  const certificates = chosenCertificates(fleet, readSites(fleet, choice))
  const leases = () => Promise.all(certificates.map(({ name }) => store.lease(name, clock.nowMs())))
  const before = await leases()
  const behind = upstreamsOf(fleet, certificates)
  const servers = await visitAll(context, certificates, behind, choice, onProgress)
  const { visits, failures } = servers
  const seen = await lastSeen(context)
  const lookedAll: LookedAgain[] = []
  const subjects: Subject[] = []
  for (const certificate of certificates) {
    const { name } = certificate
    const nowMs = clock.nowMs()
    const desired = await desiredOf(context, certificate, nowMs)
    subjects.push(judgeIssued(desired))
    const placed = placements(fleet, name).filter(({ server }) => isChosen(choice, server.name))
    const disks = new Map<string, DiskJudged>()
    for (const { server } of placed) {
      const visited = visits.get(server.name)
      const disk = visited?.disks.get(name)
      const waits = opensAt(server, nowMs, null) !== null
      if (disk) disks.set(server.name, judgeDisk(desired, server.name, disk, nowMs, waits))
      const own = await ownPaths(fleet, server, certificate)
      const sites = ownFiles(fleet, server, certificates, name)
      const findings = [
        ...since(notVisited(name, server.name, failures), seen.files(server.name), nowMs),
        ...(disks.get(server.name)?.findings ?? []),
        ...(visited ? judgeVisit(fleet, { server, certificate, desired, own, sites }, visited) : []),
      ]
      subjects.push(subject('files', { certificate: name, server: server.name, findings }))
    }
    const throughServers = [...visits.values()].flatMap(({ looked }) => looked.get(name) ?? [])
    const onLooked = (done: number, of: number) => onProgress({ doing: `handshakes for ${name}`, done, of })
    const fromHere = await lookAgain(await lookAtAll(placed, signal, onLooked), signal, onLooked)
    const looked = [...fromHere, ...throughServers]
    lookedAll.push(...looked)
    for (const look of looked) {
      const { server, endpoint, served } = look
      const opens = opensAt(fleet.servers.get(server), nowMs, served?.notAfterMs ?? null)
      const judged = judgeServed(desired, look, disks.get(server) ?? null, nowMs, opens)
      const told = isStandby(fleet, server, endpoint.name) ? judged.map(onStandby) : judged
      const findings = [...since(told, seen.endpoint(server, endpoint), nowMs), ...judgeRevokedServed(desired, look)]
      subjects.push(
        subject('served', {
          certificate: name,
          server,
          site: endpoint.name || null,
          place: endpointText(endpoint),
          findings,
        }),
      )
    }
    subjects.push(await auditCopies(context, certificate, desired, visits, choice))
    onProgress({ doing: `the DNS, balancers and upstreams of ${name}`, done: 0, of: 0 })
    subjects.push(...(await auditNames(context, certificate, looked)))
    subjects.push(...(await auditAcross(context, certificate, desired)))
    for (const upstream of behind.filter((each) => each.certificates.includes(name)))
      subjects.push(await auditUpstream(context, desired, upstream, servers))
  }
  onProgress({ doing: 'CAA records', done: 0, of: 0 })
  subjects.push(...(await auditCaa(context, certificates)))
  await recordSeen(context, lookedAll, visits.keys())
  const after = await leases()
  const changing = certificates
    .filter((_, at) => before[at]?.held || after[at]?.held || before[at]?.token !== after[at]?.token)
    .map(({ name }) => name)
  const settled = subjects.map((each) =>
    changing.includes(each.certificate) ? { ...each, findings: each.findings.map(whileChanging) } : each,
  )
  return {
    findings: inOrder(settled.flatMap(({ findings }) => findings)),
    subjects: settled,
    looked: {
      certificates: certificates.length,
      endpoints: lookedAll.length,
      handshakes: lookedAll.reduce((sum, each) => sum + handshakesOf(each), 0),
      disks: visits.size,
      upstreams: behind.length,
    },
  }
}

function judgeIssued({ certificate, newest }: Desired): Subject {
  const found = { certificate, what: 'no certificate was issued yet', repair: `onecert apply ${certificate}` }
  return subject('issued', { certificate, findings: newest === null ? [finding('not-issued', found)] : [] })
}

/** What a visit showed of one lineage, but for its generations themselves. */
function judgeVisit(
  fleet: Fleet,
  given: {
    readonly server: Server
    readonly certificate: Certificate
    readonly desired: Desired
    readonly own: readonly string[]
    readonly sites: ReadonlyMap<string, OwnFiles>
  },
  { disks, keys, configured }: Visit,
): Finding[] {
  const { server, certificate, desired, own, sites } = given
  const place = { certificate: certificate.name, server: server.name }
  const disk = disks.get(certificate.name)
  const searched = { server: server.name, own, behind: null }
  return [
    ...(disk ? judgeRevokedCurrent(desired, server.name, disk) : []),
    ...(disk ? judgeRights(desired, server.name, disk, keyRightsOf(fleet, server, certificate.name)) : []),
    ...(keys ? judgeKeys(desired, { ...searched, facts: keys }) : []),
    ...(configured ? judgeConfigured(place, sites, configured) : []),
  ]
}

function notVisited(certificate: string, server: string, failures: ReadonlyMap<string, OnecertError>): Finding[] {
  const failure = failures.get(server)?.failure
  if (!failure) return []
  return [
    finding('unreachable', {
      certificate,
      server,
      what: `its files could not be looked at: ${failure.what}`,
      // Where a rollout fails so, it is to be begun again; nobody began one.
      repair: failure.next?.replaceAll('onecert apply', 'onecert audit') ?? `onecert audit --server ${server}`,
    }),
  ]
}

/** What no server shows by itself: what comes through a balancer, and whether sessions of one server resume on others. */
async function auditAcross(context: Context, certificate: Certificate, desired: Desired): Promise<Subject[]> {
  const { newest } = desired
  const base = { certificate: certificate.name, server: null }
  const repair = `onecert apply ${certificate.name}`
  const sampled = newest === null ? [] : await sampleBalancers(context, certificate.name, newest.chain)
  const balancers = sampled.map(({ site, address, port, sample }) => {
    const place = `${address}:${port}`
    const opens = waitingMember(context, site)
    const findings = judgeBalancer(desired, { site, place, ...sample }, opens)
    return subject('balancer', { ...base, site, place, findings })
  })
  const rings = await resumptionOf(context, certificate)
  const apart = rings.map(({ site, verdict, reason, odd }) => {
    const found = {
      ...base,
      site,
      server: odd.length === 1 ? (odd[0] ?? null) : null,
      what: `sessions do not resume across the servers of the site: ${reason}`,
      repair,
    }
    const findings =
      verdict === 'proven' ? [] : [finding(verdict === 'drift' ? 'resumption-broken' : 'unreachable', found)]
    return subject('resumption', { ...base, site, findings })
  })
  return [...balancers, ...apart]
}

/** When the window of a member opens that waits for one; null: none does. */
function waitingMember({ fleet, clock }: Context, site: string): string | null {
  const members = fleet.sites.get(site)?.topology.servers ?? []
  return (
    members.map((each) => opensAt(fleet.servers.get(each), clock.nowMs(), null)).find((each) => each !== null) ?? null
  )
}

function isStandby({ sites }: Fleet, server: string, site: string): boolean {
  const topology = sites.get(site)?.topology
  return topology?.kind === 'reverse-proxy' && topology.standby.includes(server)
}

/** As a rollout would have it; null: it would not wait. */
function opensAt(server: Server | undefined, nowMs: number, servedUntilMs: number | null): string | null {
  const turn = turnOf(server?.windows ?? [], nowMs, { now: null, servedUntilMs })
  return turn.kind === 'waits' ? turn.opensAt : null
}

function isChosen({ servers }: Choice, name: string): boolean {
  return servers?.includes(name) ?? true
}

/** What was found on servers, and why nothing was. */
interface Visited {
  readonly visits: ReadonlyMap<string, Visit>
  readonly failures: ReadonlyMap<string, OnecertError>
}

/** Each server of the certificates, and each upstream that the fleet file names as a server. */
async function visitAll(
  context: Context,
  certificates: readonly Certificate[],
  behind: readonly Behind[],
  choice: Choice,
  onProgress: OnAuditProgress,
): Promise<Visited> {
  const { fleet, signal } = context
  const placed = new Map<string, Map<string, Placement>>()
  const at = (server: string) => {
    const known = placed.get(server) ?? new Map<string, Placement>()
    placed.set(server, known)
    return known
  }
  for (const { name } of certificates)
    for (const placement of placements(fleet, name)) at(placement.server.name).set(name, placement)
  for (const { server } of behind) if (server !== undefined) at(server)
  const visits = new Map<string, Visit>()
  const failures = new Map<string, OnecertError>()
  const chosen = [...placed].filter(([server]) => isChosen(choice, server))
  const doing = 'the files of the servers'
  onProgress({ doing, done: 0, of: chosen.length })
  await inLanes(chosen, parallel, async ([name, lineages]) => {
    signal.throwIfAborted()
    const server = fleet.servers.get(name)
    if (!server) return
    try {
      visits.set(name, await visit(context, server, lineages))
    } catch (thrown) {
      signal.throwIfAborted()
      failures.set(name, asOnecertError(thrown))
    }
    onProgress({ doing, done: visits.size + failures.size, of: chosen.length })
  })
  return { visits, failures }
}

async function desiredOf(context: Context, { name }: Certificate, nowMs: number): Promise<Desired> {
  const { store } = context
  const generations = await store.generations(name)
  const newest = await store.newestGeneration(name)
  return {
    certificate: name,
    newest: newest && {
      number: newest.number,
      chain: parseCertificates(Buffer.from(newest.chainPem), { file: `the generation of ${name}` }).map(
        ({ fingerprint }) => fingerprint,
      ),
      spki: newest.spki,
      notBeforeMs: newest.notBeforeMs,
      notAfterMs: newest.notAfterMs,
      chainHash: createHash('sha256').update(newest.chainPem).digest('hex'),
    },
    numbers: new Map(generations.map(({ fingerprint, number }) => [fingerprint, number])),
    generations: new Map(
      await Promise.all(
        generations.map(async (row) => {
          // What has expired is told as such.
          const revoked = row.notAfterMs > nowMs ? await revocationOf(context, row) : null
          const known = { notBeforeMs: row.notBeforeMs, revoked }
          return [row.number, known] as const
        }),
      ),
    ),
    keys: new Set(generations.map(({ spki }) => spki)),
  }
}

async function ownPaths({ issuers: all }: Fleet, server: Server, { name, issuers }: Certificate): Promise<string[]> {
  const files = server.files.get(name)
  const own = [`${server.directory}/${name}`, ...[files?.key, files?.combined].flatMap((path) => path ?? [])]
  // What comes from this machine is there still: the issuer's own key is no copy of ours.
  const here = server.reach.kind === 'local' ? issuers.flatMap((issuer) => all.get(issuer) ?? []) : []
  return [...own, ...(await Promise.all(here.map(sourcesOf))).flat()]
}

/** Of the sites of a server, those that are told of with this certificate: one with two certificates is told of once. */
function ownFiles(
  { sites }: Fleet,
  server: Server,
  chosen: readonly Certificate[],
  lineage: string,
): ReadonlyMap<string, OwnFiles> {
  const told = [...sites.values()].filter(
    ({ certificates, topology }) =>
      topology.servers.includes(server.name) &&
      chosen.find(({ name }) => certificates.includes(name))?.name === lineage,
  )
  return new Map(
    told.map(({ name, certificates }) => [
      name,
      {
        folders: certificates.map((each) => `${server.directory}/${each}`),
        paths: certificates.flatMap((each) => {
          const { chain, key, combined } = server.files.get(each) ?? {}
          return [chain, key, combined].flatMap((path) => path ?? [])
        }),
      },
    ]),
  )
}

/** An upstream, and the lineages of the sites in front of it. */
interface Behind extends Upstream {
  readonly site: string
  readonly certificates: readonly string[]
}

function upstreamsOf(fleet: Fleet, certificates: readonly Certificate[]): Behind[] {
  const chosen = new Set(certificates.map(({ name }) => name))
  return [...fleet.sites.values()].flatMap(({ name: site, certificates: own, topology }) =>
    topology.kind === 'reverse-proxy' && own.some((each) => chosen.has(each))
      ? topology.upstreams.map((upstream) => ({ ...upstream, site, certificates: own }))
      : [],
  )
}

/** An upstream holds no key of the site: not in a file, and not behind its own TLS. */
async function auditUpstream(
  { fleet, signal }: Context,
  desired: Desired,
  { url, server, site }: Behind,
  { visits, failures }: Visited,
): Promise<Subject> {
  const { certificate } = desired
  const base = { certificate, server: server ?? null, site, place: url }
  const facts = server === undefined ? null : visits.get(server)?.keys
  // It may serve the same lineage at a site of its own: there its copy belongs to it.
  const serves = server !== undefined && placements(fleet, certificate).some((each) => each.server.name === server)
  const found =
    server === undefined || serves
      ? []
      : [
          ...notVisited(certificate, server, failures),
          ...(facts ? judgeKeys(desired, { server, facts, own: [], behind: site }) : []),
        ]
  const { protocol, hostname, port } = new URL(url)
  const address = hostname.replace(/^\[|\]$/g, '')
  if (protocol !== 'https:' || isIP(address) === 0) return subject('upstream', { ...base, findings: found })
  const endpoint = { address, port: Number(port || 443), name: site }
  const served = await handshake(endpoint, { timeoutMs: handshakeTimeoutMs, signal }).catch(() => null)
  signal.throwIfAborted()
  if (served === null || !desired.keys.has(served.spki)) return subject('upstream', { ...base, findings: found })
  const proved = finding('key-on-upstream', {
    ...base,
    what: 'an upstream proves by handshake that it holds a private key of the site in front of it',
    expected: 'another key: TLS ends at the proxy',
    served: `leaf ${served.chain[0]?.slice(0, 8)}, key ${served.spki.slice(0, 8)}`,
    repair: `give ${url} a certificate of its own (docs/guides/reverse-proxy.md); then: onecert renew ${certificate} --rekey`,
  })
  return subject('upstream', { ...base, findings: [...found, proved] })
}
