import type { Desired } from '../audit/desired.ts'
import type { DiskJudged } from '../audit/disk.ts'
import { judgeRevokedServed } from '../audit/revoked.ts'
import { judgeServed } from '../audit/served.ts'
import { onStandby } from '../audit/standby.ts'
import { type Subject, subject } from '../audit/subject.ts'
import type { Fleet } from '../fleet/fleet.ts'
import { endpointText } from '../observe/endpoint.ts'
import { opensAt } from './audit-window.ts'
import type { Context } from './context.ts'
import type { LookedAgain } from './look-again.ts'
import { type Seen, since } from './seen.ts'

/** What each endpoint of a lineage showed, judged; the disk tells which step is missing. */
export function auditServed(
  { fleet, clock }: Context,
  desired: Desired,
  looked: readonly LookedAgain[],
  disks: ReadonlyMap<string, DiskJudged>,
  seen: Seen,
): Subject[] {
  const nowMs = clock.nowMs()
  return looked.map((look) => {
    const { server, endpoint, served } = look
    const opens = opensAt(fleet.servers.get(server), nowMs, served?.notAfterMs ?? null)
    const judged = judgeServed(desired, look, disks.get(server) ?? null, nowMs, opens)
    const told = isStandby(fleet, desired.certificate, server, endpoint.name) ? judged.map(onStandby) : judged
    // Where some connections showed something, it was seen just now.
    const dated = served === null ? since(told, seen.endpoint(server, endpoint), nowMs) : told
    const findings = [...dated, ...judgeRevokedServed(desired, look)]
    const at = { server, site: endpoint.name || null, place: endpointText(endpoint) }
    return subject('served', { certificate: desired.certificate, ...at, findings })
  })
}

/** Also where it is looked at without a name. */
function isStandby({ sites }: Fleet, certificate: string, server: string, name: string): boolean {
  return [...sites.values()].some(
    (site) =>
      (name === '' || name === site.name) &&
      site.certificates.includes(certificate) &&
      site.topology.kind === 'reverse-proxy' &&
      site.topology.standby.includes(server),
  )
}
