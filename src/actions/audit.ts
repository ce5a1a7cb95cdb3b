import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import type { Desired } from '../audit/desired.ts'
import { type DiskJudged, judgeDisk } from '../audit/disk.ts'
import { type Finding, finding, inOrder, whileChanging } from '../audit/finding.ts'
import { judgeKeys } from '../audit/keys.ts'
import { generationName, judgeServed } from '../audit/served.ts'
import { asOnecertError } from '../base/errors.ts'
import { inLanes } from '../base/lanes.ts'
import type { Certificate, Fleet, Placement, Server, Upstream } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { sourcesOf } from '../issue/sources.ts'
import { handshake } from '../observe/handshake.ts'
import { parseCertificates } from '../pki/certificate.ts'
import { turnOf } from '../rollout/turn.ts'
import { auditNames } from './audit-names.ts'
import { type Choice, chosenCertificates } from './choice.ts'
import type { Context } from './context.ts'
import { lookAtAll } from './look.ts'
import { resumptionOf } from './resumption.ts'
import { sampleBalancers } from './sample.ts'
import { type Visit, visit } from './visit.ts'

export interface Audit {
  /** The worst first. `unreachable` is neither good nor bad. */
  readonly findings: readonly Finding[]
  /** How much was looked at. */
  readonly looked: {
    readonly certificates: number
    readonly endpoints: number
    /** Servers whose files were looked at. */
    readonly disks: number
    readonly upstreams: number
  }
}

const parallel = 16
const handshakeTimeoutMs = 5_000

/**
 * What should be, what lies on the servers and what they serve, compared: each difference is named. Nothing is changed
 * anywhere, and no private key leaves a server: whose key it is, the server computes itself.
 */
export async function audit(context: Context, choice: Choice): Promise<Audit> {
  const { fleet, store, clock, signal } = context
  const certificates = chosenCertificates(fleet, choice)
  const leases = () => Promise.all(certificates.map(({ name }) => store.lease(name, clock.nowMs())))
  const before = await leases()
  const behind = upstreamsOf(fleet, certificates)
  const { visits, findings } = await visitAll(context, certificates, behind, choice)
  let endpoints = 0
  for (const certificate of certificates) {
    const desired = await desiredOf(context, certificate)
    const nowMs = clock.nowMs()
    if (desired.newest === null) {
      findings.push(
        finding('not-issued', {
          certificate: certificate.name,
          what: 'no certificate was issued yet',
          repair: `onecert apply ${certificate.name}`,
        }),
      )
    }
    const placed = placements(fleet, certificate.name).filter(({ server }) => isChosen(choice, server.name))
    const disks = new Map<string, DiskJudged>()
    for (const { server } of placed) {
      const { disks: facts, keys } = visits.get(server.name) ?? {}
      const disk = facts?.get(certificate.name)
      const waits = opensAt(server, nowMs, null) !== null
      if (disk) disks.set(server.name, judgeDisk(desired, server.name, disk, nowMs, waits))
      if (keys) {
        const own = await ownPaths(fleet, server, certificate)
        findings.push(...judgeKeys(desired, { server: server.name, facts: keys, own, behind: null }))
      }
    }
    findings.push(...[...disks.values()].flatMap((judged) => judged.findings))
    const throughServers = [...visits.values()].flatMap(({ looked }) => looked.get(certificate.name) ?? [])
    const looked = [...(await lookAtAll(placed, signal)), ...throughServers]
    endpoints += looked.length
    for (const seen of looked) {
      const opens = opensAt(fleet.servers.get(seen.server), nowMs, seen.served?.notAfterMs ?? null)
      findings.push(...judgeServed(desired, seen, disks.get(seen.server) ?? null, nowMs, opens))
    }
    findings.push(...(await auditNames(context, certificate)))
    findings.push(...(await auditAcross(context, certificate, desired)))
    for (const upstream of behind.filter((each) => each.certificates.includes(certificate.name)))
      findings.push(...(await judgeUpstream(context, desired, upstream, visits)))
  }
  const after = await leases()
  const changing = certificates
    .filter((_, at) => before[at]?.held || after[at]?.held || before[at]?.token !== after[at]?.token)
    .map(({ name }) => name)
  return {
    findings: inOrder(findings.map((each) => (changing.includes(each.certificate) ? whileChanging(each) : each))),
    looked: { certificates: certificates.length, endpoints, disks: visits.size, upstreams: behind.length },
  }
}

/** What no server shows by itself: what comes through a balancer, and whether sessions of one server resume on others. */
async function auditAcross(context: Context, certificate: Certificate, { newest }: Desired): Promise<Finding[]> {
  const base = { certificate: certificate.name, server: null }
  const repair = `onecert apply ${certificate.name}`
  const sampled = newest === null ? [] : await sampleBalancers(context, certificate.name, newest.chain)
  const wrong = sampled.flatMap(({ site, address, port, sample }) => {
    const found = { ...base, site, place: `${address}:${port}` }
    const others = sample.seen.flatMap(({ wrong: why, connections }) =>
      why === null
        ? []
        : [
            finding('other-member', {
              ...found,
              what: `through the balancer ${connections} of ${sample.connections} connections show something else`,
              expected: newest && generationName(newest.number, newest.chain[0]),
              served: why,
              repair: `look which servers the balancer has beside those of the fleet file; then: ${repair}`,
            }),
          ],
    )
    if (sample.failed === 0) return others
    const what = `${sample.failed} of ${sample.connections} connections through the balancer showed nothing: ${sample.failure}`
    return [...others, finding('unreachable', { ...found, what, repair: 'look at the balancer; then: onecert audit' })]
  })
  const rings = await resumptionOf(context, certificate)
  const apart = rings.flatMap(({ site, verdict, reason, odd }) =>
    verdict === 'proven'
      ? []
      : [
          finding(verdict === 'drift' ? 'resumption-broken' : 'unreachable', {
            ...base,
            site,
            server: odd.length === 1 ? (odd[0] ?? null) : null,
            what: `sessions do not resume across the servers of the site: ${reason}`,
            repair,
          }),
        ],
  )
  return [...wrong, ...apart]
}

/** As a rollout would have it; null: it would not wait. */
function opensAt(server: Server | undefined, nowMs: number, servedUntilMs: number | null): string | null {
  const turn = turnOf(server?.windows ?? [], nowMs, { now: null, servedUntilMs })
  return turn.kind === 'waits' ? turn.opensAt : null
}

function isChosen({ servers }: Choice, name: string): boolean {
  return servers?.includes(name) ?? true
}

/** Each server of the certificates, and each upstream that the fleet file names as a server. */
async function visitAll(
  context: Context,
  certificates: readonly Certificate[],
  behind: readonly Behind[],
  choice: Choice,
): Promise<{ readonly visits: ReadonlyMap<string, Visit>; readonly findings: Finding[] }> {
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
  const findings: Finding[] = []
  await inLanes(
    [...placed].filter(([server]) => isChosen(choice, server)),
    parallel,
    async ([name, lineages]) => {
      signal.throwIfAborted()
      const server = fleet.servers.get(name)
      if (!server) return
      try {
        visits.set(name, await visit(context, server, lineages))
      } catch (thrown) {
        signal.throwIfAborted()
        const { what, next } = asOnecertError(thrown).failure
        for (const certificate of lineages.size > 0 ? lineages.keys() : ['']) {
          findings.push(
            finding('unreachable', {
              certificate,
              server: name,
              what: `its files could not be looked at: ${what}`,
              repair: next ?? `onecert audit --server ${name}`,
            }),
          )
        }
      }
    },
  )
  return { visits, findings }
}

async function desiredOf({ store }: Context, { name }: Certificate): Promise<Desired> {
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
async function judgeUpstream(
  { fleet, signal }: Context,
  desired: Desired,
  { url, server, site }: Behind,
  visits: ReadonlyMap<string, Visit>,
): Promise<Finding[]> {
  const facts = server === undefined ? null : visits.get(server)?.keys
  // It may serve the same lineage at a site of its own: there its copy belongs to it.
  const serves =
    server !== undefined && placements(fleet, desired.certificate).some((each) => each.server.name === server)
  const found =
    server === undefined || !facts || serves ? [] : judgeKeys(desired, { server, facts, own: [], behind: site })
  const { protocol, hostname, port } = new URL(url)
  const address = hostname.replace(/^\[|\]$/g, '')
  if (protocol !== 'https:' || isIP(address) === 0) return found
  const endpoint = { address, port: Number(port || 443), name: site }
  const served = await handshake(endpoint, { timeoutMs: handshakeTimeoutMs, signal }).catch(() => null)
  signal.throwIfAborted()
  if (served === null || !desired.keys.has(served.spki)) return found
  return [
    ...found,
    finding('key-on-upstream', {
      certificate: desired.certificate,
      server: server ?? null,
      site,
      place: url,
      what: 'an upstream proves by handshake that it holds a private key of the site in front of it',
      expected: 'another key: TLS ends at the proxy',
      served: `leaf ${served.chain[0]?.slice(0, 8)}, key ${served.spki.slice(0, 8)}`,
      repair: `give ${url} a certificate of its own (docs/guides/reverse-proxy.md); then: onecert renew ${desired.certificate} --rekey`,
    }),
  ]
}
