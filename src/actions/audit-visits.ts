import { type Finding, finding } from '../audit/finding.ts'
import { asOnecertError, type OnecertError } from '../base/errors.ts'
import { inLanes } from '../base/lanes.ts'
import type { Certificate, Placement, Upstream } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { endpointsOf } from '../observe/endpoint.ts'
import type { OnAuditProgress } from './audit-progress.ts'
import { type Choice, isChosen } from './choice.ts'
import type { Context } from './context.ts'
import type { Looked } from './look.ts'
import { type Visit, visit } from './visit.ts'

const parallel = 16

/** What was found on servers, and why nothing was. */
export interface Visited {
  readonly visits: ReadonlyMap<string, Visit>
  readonly failures: ReadonlyMap<string, OnecertError>
}

/** Each server of the certificates, and each upstream that the fleet file names as a server. */
export async function visitAll(
  context: Context,
  certificates: readonly Certificate[],
  behind: readonly Upstream[],
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

/** What is looked at through servers only, where there was no way to them. */
export function notLooked(placed: readonly Placement[], failures: ReadonlyMap<string, OnecertError>): Looked[] {
  return placed.flatMap((placement) => {
    const { server } = placement
    const reason = failures.get(server.name)?.failure.what
    if (reason === undefined || server.probe === 'direct') return []
    const nothing = { server: server.name, served: null, vantage: null, reason }
    return endpointsOf(placement).map((endpoint) => ({ ...nothing, endpoint }))
  })
}

export function notVisited(
  certificate: string,
  server: string,
  failures: ReadonlyMap<string, OnecertError>,
): Finding[] {
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
