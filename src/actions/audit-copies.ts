import { judgeCopies } from '../audit/copies.ts'
import type { Desired } from '../audit/desired.ts'
import { type Subject, subject } from '../audit/subject.ts'
import type { Certificate, Fleet } from '../fleet/fleet.ts'
import { placements, sitesOn } from '../fleet/placement.ts'
import { keyCopies } from '../ledger/keycopies.ts'
import type { Context } from './context.ts'
import type { Visit } from './visit.ts'

/** The copies of a lineage's keys that the record knows, or that were seen: where they belong, each with a seat. */
export async function auditCopies(
  { fleet, ledger }: Context,
  { name, licence }: Certificate,
  { keys }: Desired,
  visits: ReadonlyMap<string, Visit>,
): Promise<Subject> {
  const placed = placements(fleet, name).map(({ server }) => server.name)
  const upstreams = upstreamsBehind(fleet, name)
  const isOurs = ({ spki }: { readonly spki: string | null }) => spki !== null && keys.has(spki)
  const findings = judgeCopies({
    certificate: name,
    placed,
    recorded: keyCopies(await ledger.entries({ lineage: name })),
    seen: new Set([...visits].flatMap(([server, { disks }]) => (disks.get(name)?.files.some(isOurs) ? server : []))),
    strange: [...visits]
      .filter(([server]) => !placed.includes(server) && !upstreams.includes(server))
      .flatMap(([server, visit]) => (visit.keys?.keys ?? []).filter(isOurs).map((each) => ({ ...each, server }))),
    seats: licence?.servers,
    sitesOn: (server) => sitesOn(fleet, server).map((site) => site.name),
  })
  return subject('copies', { certificate: name, findings })
}

/** What they have of its keys is told by the proxy's site. */
function upstreamsBehind({ sites }: Fleet, certificate: string): string[] {
  return [...sites.values()].flatMap(({ certificates, topology }) =>
    topology.kind === 'reverse-proxy' && certificates.includes(certificate)
      ? topology.upstreams.flatMap(({ server }) => server ?? [])
      : [],
  )
}
