import type { Desired } from '../audit/desired.ts'
import { type Finding, finding, inOrder, whileChanging } from '../audit/finding.ts'
import { type Subject, subject } from '../audit/subject.ts'
import { placements } from '../fleet/placement.ts'
import { auditAcross } from './audit-across.ts'
import { auditCaa } from './audit-caa.ts'
import { auditCopies } from './audit-copies.ts'
import { desiredOf } from './audit-desired.ts'
import { auditFiles } from './audit-files.ts'
import { auditNames } from './audit-names.ts'
import type { OnAuditProgress } from './audit-progress.ts'
import { auditServed } from './audit-served.ts'
import { auditUpstream, upstreamsOf } from './audit-upstreams.ts'
import { notLooked, visitAll } from './audit-visits.ts'
import { type Choice, chosenCertificates, isChosen, readSites } from './choice.ts'
import type { Context } from './context.ts'
import { lookAtAll } from './look.ts'
import { handshakesOf, type LookedAgain, lookAgain } from './look-again.ts'
import { lastSeen, recordSeen } from './seen.ts'

export interface Audit {
  /** Of all subjects, the worst first. `unreachable` is neither good nor bad. */
  readonly findings: readonly Finding[]
  /** Each thing that was looked at, also where nothing was found. */
  readonly subjects: readonly Subject[]
  /** How much was looked at. */
  readonly looked: {
    readonly certificates: number
    /** Those that showed something. */
    readonly endpoints: number
    /** Connections that did: several to each of them. */
    readonly handshakes: number
    /** Servers whose files were looked at. */
    readonly disks: number
    readonly upstreams: number
  }
}

/**
 * What should be, what lies on the servers and what they serve, compared: each difference is named. Nothing is changed but
 * the store, which keeps when what was seen; no private key leaves a server: whose key it is, the server computes itself.
 */
export async function audit(context: Context, choice: Choice, onProgress: OnAuditProgress = () => {}): Promise<Audit> {
  const { fleet, store, clock, signal } = context
  const certificates = chosenCertificates(fleet, readSites(fleet, choice))
  const leases = () => Promise.all(certificates.map(({ name }) => store.lease(name, clock.nowMs())))
  const before = await leases()
  const behind = upstreamsOf(fleet, certificates, choice)
  const servers = await visitAll(context, certificates, behind, choice, onProgress)
  const { visits } = servers
  const seen = await lastSeen(context)
  const lookedAll: LookedAgain[] = []
  const subjects: Subject[] = []
  for (const certificate of certificates) {
    const { name } = certificate
    const desired = await desiredOf(context, certificate, clock.nowMs())
    subjects.push(judgeIssued(desired))
    const placed = placements(fleet, name).filter(({ server }) => isChosen(choice, server.name))
    const files = await auditFiles(context, { certificate, desired, placed, certificates, seen }, servers)
    subjects.push(...files.subjects)
    const throughServers = [...visits.values()].flatMap(({ looked }) => looked.get(name) ?? [])
    const onLooked = (done: number, of: number) => onProgress({ doing: `handshakes for ${name}`, done, of })
    const fromHere = await lookAgain(await lookAtAll(placed, signal, onLooked), signal, onLooked)
    const looked = [...fromHere, ...throughServers]
    lookedAll.push(...looked)
    const all = [...looked, ...notLooked(placed, servers.failures)]
    subjects.push(...auditServed(context, desired, all, files.disks, seen))
    subjects.push(await auditCopies(context, certificate, desired, visits))
    onProgress({ doing: `the DNS, balancers and upstreams of ${name}`, done: 0, of: 0 })
    subjects.push(...(await auditNames(context, certificate, certificates, looked)))
    subjects.push(...(await auditAcross(context, certificate, desired, choice)))
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
  const settled = subjects.map((each) => {
    // Those of a site may be about any of its servers.
    const asked = each.findings.filter(({ server }) => server === null || isChosen(choice, server))
    return { ...each, findings: changing.includes(each.certificate) ? asked.map(whileChanging) : asked }
  })
  return {
    findings: inOrder(settled.flatMap(({ findings }) => findings)),
    subjects: settled,
    looked: {
      certificates: certificates.length,
      endpoints: lookedAll.filter(({ served }) => served !== null).length,
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
