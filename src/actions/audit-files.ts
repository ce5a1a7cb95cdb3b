import { judgeConfigured, type OwnFiles } from '../audit/configured.ts'
import type { Desired } from '../audit/desired.ts'
import { type DiskJudged, judgeDisk } from '../audit/disk.ts'
import type { Finding } from '../audit/finding.ts'
import { judgeKeys } from '../audit/keys.ts'
import { judgeRevokedCurrent } from '../audit/revoked.ts'
import { judgeRights } from '../audit/rights.ts'
import { type Subject, subject } from '../audit/subject.ts'
import type { Certificate, Fleet, Placement, Server } from '../fleet/fleet.ts'
import { sitesOn } from '../fleet/placement.ts'
import { sourcesOf } from '../issue/sources.ts'
import { notVisited, type Visited } from './audit-visits.ts'
import { opensAt } from './audit-window.ts'
import type { Context } from './context.ts'
import { type Seen, since } from './seen.ts'
import { keyRightsOf, type Visit } from './visit.ts'

/** The files of each server of a lineage, judged. */
export async function auditFiles(
  { fleet, clock }: Context,
  given: {
    readonly certificate: Certificate
    readonly desired: Desired
    readonly placed: readonly Placement[]
    /** All that the audit looks at. */
    readonly certificates: readonly Certificate[]
    readonly seen: Seen
  },
  { visits, failures }: Visited,
): Promise<{ readonly disks: ReadonlyMap<string, DiskJudged>; readonly subjects: readonly Subject[] }> {
  const { certificate, desired, placed, certificates, seen } = given
  const { name } = certificate
  const nowMs = clock.nowMs()
  const disks = new Map<string, DiskJudged>()
  const subjects: Subject[] = []
  for (const { server } of placed) {
    const visited = visits.get(server.name)
    const disk = visited?.disks.get(name)
    const waits = opensAt(server, nowMs, null) !== null
    if (disk) disks.set(server.name, judgeDisk(desired, server.name, disk, waits))
    const own = await ownPaths(fleet, server, certificate)
    const sites = ownFiles(fleet, server, certificates, name)
    const findings = [
      ...since(notVisited(name, server.name, failures), seen.files(server.name), nowMs),
      ...(disks.get(server.name)?.findings ?? []),
      ...(visited ? judgeVisit(fleet, { server, certificate, desired, own, sites }, visited) : []),
    ]
    subjects.push(subject('files', { certificate: name, server: server.name, findings }))
  }
  return { disks, subjects }
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

async function ownPaths({ issuers: all }: Fleet, server: Server, { name, issuers }: Certificate): Promise<string[]> {
  const files = server.files.get(name)
  const own = [`${server.directory}/${name}`, ...[files?.key, files?.combined].flatMap((path) => path ?? [])]
  // What comes from this machine is there still: the issuer's own key is no copy of ours.
  const here = server.reach.kind === 'local' ? issuers.flatMap((issuer) => all.get(issuer) ?? []) : []
  return [...own, ...(await Promise.all(here.map(sourcesOf))).flat()]
}

/** Of the sites of a server, those that are told of with this certificate: one with two certificates is told of once. */
function ownFiles(
  fleet: Fleet,
  server: Server,
  chosen: readonly Certificate[],
  lineage: string,
): ReadonlyMap<string, OwnFiles> {
  const told = sitesOn(fleet, server.name).filter(
    ({ certificates }) => chosen.find(({ name }) => certificates.includes(name))?.name === lineage,
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
