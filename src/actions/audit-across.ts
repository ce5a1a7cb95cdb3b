import { judgeBalancer } from '../audit/balancer.ts'
import type { Desired } from '../audit/desired.ts'
import { finding } from '../audit/finding.ts'
import { type Subject, subject } from '../audit/subject.ts'
import type { Certificate } from '../fleet/fleet.ts'
import { serversOf } from '../fleet/placement.ts'
import { opensAt } from './audit-window.ts'
import type { Choice } from './choice.ts'
import type { Context } from './context.ts'
import { resumptionOf } from './resumption.ts'
import { sampleBalancers, sampledAt } from './sample.ts'

/**
 * What no server shows by itself: what comes through a balancer, and whether sessions of one server resume on others, which
 * takes all of them.
 */
export async function auditAcross(
  context: Context,
  certificate: Certificate,
  desired: Desired,
  choice: Choice,
): Promise<Subject[]> {
  const { newest } = desired
  const base = { certificate: certificate.name, server: null }
  const repair = `onecert apply ${certificate.name}`
  const sampled = newest === null ? [] : await sampleBalancers(context, certificate.name, newest.chain)
  const balancers = sampled.map((each) => {
    const { site, sample } = each
    const place = sampledAt(each)
    const opens = waitingMember(context, site)
    const findings = judgeBalancer(desired, { site, place, ...sample }, opens)
    return subject('balancer', { ...base, site, place, findings })
  })
  const rings = choice.servers ? [] : await resumptionOf(context, certificate)
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
  const found = fleet.sites.get(site)
  const members = found ? serversOf(fleet, found) : []
  return members.map((each) => opensAt(each, clock.nowMs(), null)).find((each) => each !== null) ?? null
}
