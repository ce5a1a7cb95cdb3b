import { judgeRing, type Passed, type RingVerdict } from '../audit/resumption.ts'
import { asOnecertError, fail } from '../base/errors.ts'
import { inLanes } from '../base/lanes.ts'
import type { Certificate, Fleet, Placement, ServiceKind } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { type Endpoint, endpointsOf } from '../observe/endpoint.ts'
import { protocols, resumes, sessionAt } from '../observe/resumption.ts'
import { serviceOf } from '../services/drivers.ts'
import type { Context } from './context.ts'

/** Whether sessions of one site resume across its servers of one kind: no software takes the tickets of another one. */
export interface ResumptionStatus extends RingVerdict {
  readonly certificate: string
  readonly site: string
  readonly service: ServiceKind
  /** Those that were looked at. */
  readonly servers: readonly string[]
  /** Those that the fleet file says cannot be looked at from here. */
  readonly hidden: readonly string[]
}

const parallel = 32
const timeoutMs = 5_000
const againMs = 100

/**
 * A session of each server is shown to the next one, in TLS 1.2 and 1.3.
 * @param withinMs until when it is looked again where they do not resume: after a reload old processes go on for a moment
 */
export async function resumptionOf(
  context: Pick<Context, 'fleet' | 'clock' | 'signal'>,
  certificate: Certificate,
  withinMs = 0,
): Promise<ResumptionStatus[]> {
  if (!certificate.tickets) return []
  const { clock, signal } = context
  const found: ResumptionStatus[] = []
  const untilMs = clock.nowMs() + withinMs
  for (const { site, service, members, hidden } of rings(context.fleet, certificate.name)) {
    const servers = members.map(({ server }) => server.name)
    const look = async () => judgeRing(await passAround(members, site, signal))
    let judged = await look()
    while (judged.verdict === 'drift' && clock.nowMs() < untilMs) {
      await clock.sleep(againMs, signal)
      judged = await look()
    }
    found.push({ certificate: certificate.name, site, service, servers, hidden, ...judged })
  }
  return found
}

interface Ring {
  readonly site: string
  readonly service: ServiceKind
  readonly members: readonly Placement[]
  readonly hidden: readonly string[]
}

function rings(fleet: Fleet, lineage: string): Ring[] {
  const all = placements(fleet, lineage).filter(({ server }) => serviceOf(server.service).ticketKeys !== null)
  const sites = [...new Set(all.flatMap(({ names }) => names))]
  const kinds = [...new Set(all.map(({ server }) => server.service.kind))]
  return sites
    .flatMap((site) =>
      kinds.map((service) => {
        const serving = all.filter(({ server, names }) => server.service.kind === service && names.includes(site))
        return {
          site,
          service,
          members: serving.filter(({ server }) => server.probe === 'direct'),
          hidden: serving.filter(({ server }) => server.probe !== 'direct').map(({ server }) => server.name),
        }
      }),
    )
    .filter(({ members }) => members.length > 1)
}

async function passAround(members: readonly Placement[], site: string, signal: AbortSignal): Promise<Passed[]> {
  const passed: Passed[] = []
  const looks = members.flatMap((from, at) =>
    protocols.map((protocol) => ({ from, to: members[(at + 1) % members.length] ?? from, protocol })),
  )
  await inLanes(looks, parallel, async ({ from, to, protocol }) => {
    signal.throwIfAborted()
    const names = { from: from.server.name, to: to.server.name, protocol }
    try {
      const session = await sessionAt(endpointFor(from, site), protocol, { timeoutMs, signal })
      passed.push({ ...names, seen: await resumes(endpointFor(to, site), protocol, session, { timeoutMs, signal }) })
    } catch (error) {
      signal.throwIfAborted()
      passed.push({ ...names, seen: null, reason: asOnecertError(error).failure.what })
    }
  })
  return passed
}

/** Its first port stands for all. */
function endpointFor(placement: Placement, site: string): Endpoint {
  const endpoint = endpointsOf(placement).find(({ name }) => name === site)
  return endpoint ?? fail('INTERNAL', { what: `${placement.server.name} does not serve ${site}` })
}
