import { dayMs } from '../base/clock.ts'
import type { Certificate, Placement, Window } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { windowState, windowTime } from '../fleet/window.ts'
import { renewalNeed } from '../issue/renewal.ts'
import { renewalStates, stateOf } from '../issue/renewal-state.ts'
import { type KeyCopy, keyCopies } from '../ledger/keycopies.ts'
import { endpointsOf, endpointText } from '../observe/endpoint.ts'
import { servedWrong, type Vantage } from '../observe/served.ts'
import { instant } from '../pki/text.ts'
import type { Sample } from '../rollout/sample.ts'
import { fingerprintsOf } from './chain.ts'
import { type Choice, chosenCertificates, isChosen, readSites } from './choice.ts'
import type { Context } from './context.ts'
import { lookAtAll } from './look.ts'
import { type Quarantine, quarantineOf } from './quarantine.ts'
import { circumstances } from './renewal.ts'
import { type ResumptionStatus, resumptionOf } from './resumption.ts'
import { revocationOf } from './revoke.ts'
import { type Sampled, sampleBalancers } from './sample.ts'
import { ticketServers, ticketStates } from './tickets.ts'

export interface CertificateStatus {
  readonly certificate: string
  readonly names: readonly string[]
  readonly issuer: string
  /** null: none was issued yet. */
  readonly generation: number | null
  readonly fingerprint: string | null
  readonly spki: string | null
  readonly notAfterMs: number | null
  readonly daysLeft: number | null
  /** Why a new one is wanted; null: it is not. */
  readonly renewal: string | null
  readonly licence: { readonly seats: number; readonly used: number } | null
  /** Session ticket keys; null: the fleet file asks for none, or none were made yet. */
  readonly tickets: TicketStatus | null
}

export interface TicketStatus {
  readonly number: number
  readonly rotatedAtMs: number
  readonly dueMs: number
  /** Servers that have not got the set in use. */
  readonly late: readonly string[]
}

export interface EndpointStatus {
  readonly certificate: string
  readonly server: string
  readonly site: string
  readonly address: string
  readonly port: number
  readonly location: string | null
  /** The generation that was last committed there. */
  readonly generation: number | null
  readonly served: string | null
  readonly notAfterMs: number | null
  readonly vantage: Vantage | null
  /** When it was seen. */
  readonly atMs: number | null
  /**
   * `proven`: serves the newest generation; `waits`: an older one, until its maintenance window opens; `drift`: something
   * else, or what has expired; `unknown`: could not be looked at.
   */
  readonly verdict: 'proven' | 'waits' | 'drift' | 'unknown'
  readonly reason: string | null
  /** It was taken out of the DNS, because it was not renewed in time. */
  readonly quarantine: Quarantine | null
}

export interface BalancerStatus {
  readonly site: string
  /** Sent as SNI; empty: none was. */
  readonly name: string
  readonly address: string
  readonly port: number
  /** What most connections of the sample showed. */
  readonly served: string | null
  readonly sample: Sample
  readonly verdict: Exclude<EndpointStatus['verdict'], 'waits'>
  readonly reason: string | null
}

export interface Status {
  readonly certificates: readonly CertificateStatus[]
  readonly endpoints: readonly EndpointStatus[]
  readonly balancers: readonly BalancerStatus[]
  readonly keyCopies: readonly KeyCopy[]
  /** Whether sessions resume across the servers, for certificates with ticket keys. */
  readonly resumption: readonly ResumptionStatus[]
}

/** What is served where, now: one handshake with each endpoint, a sample through each balancer, beside what the store and
 * the ledger know. */
export async function status(context: Context, choice: Choice): Promise<Status> {
  const { fleet, store, ledger, clock } = context
  const certificates: CertificateStatus[] = []
  const endpoints: EndpointStatus[] = []
  const balancers: BalancerStatus[] = []
  const copies: KeyCopy[] = []
  const resumption: ResumptionStatus[] = []
  for (const certificate of chosenCertificates(fleet, readSites(fleet, choice))) {
    const lineage = certificate.name
    const newest = await store.newestGeneration(lineage)
    const chain = newest && fingerprintsOf(newest)
    const state = stateOf(await renewalStates(store).read(lineage), newest?.fingerprint ?? null, 0)
    const ours = keyCopies(await ledger.entries({ lineage }))
    copies.push(...ours)
    certificates.push({
      certificate: lineage,
      names: certificate.names,
      issuer: newest?.issuer ?? certificate.issuers.join(', '),
      generation: newest?.number ?? null,
      fingerprint: newest?.fingerprint ?? null,
      spki: newest?.spki ?? null,
      notAfterMs: newest?.notAfterMs ?? null,
      daysLeft: newest ? Math.floor((newest.notAfterMs - clock.nowMs()) / dayMs) : null,
      renewal: newest
        ? renewalNeed(certificate, newest, {
            ...(await circumstances(context, lineage, state)),
            revoked: await revocationOf(context, newest),
          }).reason
        : null,
      licence: seats(certificate, ours),
      tickets: await ticketStatus(context, certificate),
    })
    if (newest && !choice.servers) resumption.push(...(await resumptionOf(context, certificate)))
    endpoints.push(...(await endpointsStatus(context, certificate, chain, choice)))
    const sampled = await sampleBalancers(context, lineage, chain)
    balancers.push(
      ...sampled.map((each) => unlessExpired(balancerStatus(each), newest?.notAfterMs ?? null, clock.nowMs())),
    )
  }
  return { certificates, endpoints, balancers, keyCopies: copies, resumption }
}

async function ticketStatus({ fleet, store }: Context, { name, tickets }: Certificate): Promise<TicketStatus | null> {
  const state = await ticketStates(store).read(name)
  if (!tickets || !state) return null
  const { number, rotatedAtMs, held } = state
  const late = ticketServers(fleet, name).filter((server) => held[server] !== number)
  return { number, rotatedAtMs, dueMs: rotatedAtMs + tickets.rotateMs, late }
}

function seats(certificate: Certificate, copies: readonly KeyCopy[]): CertificateStatus['licence'] {
  return certificate.licence
    ? { seats: certificate.licence.servers, used: new Set(copies.map(({ server }) => server)).size }
    : null
}

async function endpointsStatus(
  context: Context,
  certificate: Certificate,
  chain: readonly string[] | null,
  choice: Choice,
): Promise<EndpointStatus[]> {
  const { fleet, store, clock, signal } = context
  const all = placements(fleet, certificate.name).filter(({ server }) => isChosen(choice, server.name))
  const looked = await lookAtAll(all, signal)
  const committed = await store.committedGenerations(certificate.name)
  const recorded = await store.observations()
  const quarantines = await quarantinesOf(context, all)
  const ours = new Set((await store.generations(certificate.name)).map(({ fingerprint }) => fingerprint))
  const found = all.flatMap((placement) =>
    endpointsOf(placement).map((endpoint): EndpointStatus => {
      const { server } = placement
      const { name, address, port } = endpoint
      const base = {
        certificate: certificate.name,
        server: server.name,
        site: name,
        address,
        port,
        location: server.location ?? null,
        generation: committed.get(server.name) ?? null,
        quarantine: quarantines.get(`${name} ${server.name}`) ?? null,
      }
      const look = looked.find(
        (each) => each.server === server.name && endpointText(each.endpoint) === endpointText(endpoint),
      )
      if (!look) {
        const last = recorded.find(
          (each) => each.server === server.name && each.name === name && each.address === address && each.port === port,
        )
        const right = last?.fingerprint !== undefined && last.fingerprint === chain?.[0]
        return {
          ...base,
          served: last?.fingerprint ?? null,
          notAfterMs: last?.notAfterMs ?? null,
          vantage: last?.vantage ?? null,
          atMs: last?.atMs ?? null,
          verdict: last ? (right ? 'proven' : 'drift') : 'unknown',
          reason: last ? null : 'looked at only through the server, at a rollout',
        }
      }
      return {
        ...base,
        served: look.served?.chain[0] ?? null,
        notAfterMs: look.served?.notAfterMs ?? null,
        vantage: look.served ? 'direct' : null,
        atMs: clock.nowMs(),
        ...judge(look.served?.chain ?? null, look.reason, chain),
      }
    }),
  )
  return found.map((each) => ({
    ...unlessExpired(each, each.notAfterMs, clock.nowMs()),
    ...waits(each, fleet.servers.get(each.server)?.windows ?? [], ours, clock.nowMs()),
  }))
}

/** The right one is of no use to anybody once it has expired. */
function unlessExpired<T extends Pick<EndpointStatus, 'verdict' | 'reason'>>(
  status: T,
  notAfterMs: number | null,
  nowMs: number,
): T {
  if (status.verdict !== 'proven' || notAfterMs === null || notAfterMs > nowMs) return status
  return { ...status, verdict: 'drift', reason: `expired at ${instant(notAfterMs)}` }
}

/** What is drift outside of a window is meant to be so, where it is a certificate of ours. */
function waits(
  { verdict, served, notAfterMs }: EndpointStatus,
  windows: readonly Window[],
  ours: ReadonlySet<string>,
  nowMs: number,
): Partial<EndpointStatus> {
  const state = windowState(windows, nowMs)
  if (
    verdict !== 'drift' ||
    state.kind === 'open' ||
    served === null ||
    !ours.has(served) ||
    (notAfterMs ?? 0) <= nowMs
  )
    return {}
  return { verdict: 'waits', reason: `waits for its window, opens ${windowTime(state.opensAtMs, state.timeZone)}` }
}

async function quarantinesOf(context: Context, all: readonly Placement[]): Promise<Map<string, Quarantine>> {
  const found = new Map<string, Quarantine>()
  for (const { server, names } of all) {
    for (const name of names) {
      const quarantine = await quarantineOf(context, name, server.name)
      if (quarantine) found.set(`${name} ${server.name}`, quarantine)
    }
  }
  return found
}

function balancerStatus({ sample, ...balancer }: Sampled): BalancerStatus {
  const wrong = sample.seen.find((each) => each.wrong !== null)?.wrong ?? null
  return {
    ...balancer,
    served: sample.seen[0]?.fingerprint ?? null,
    sample,
    verdict: wrong !== null ? 'drift' : sample.failed > 0 ? 'unknown' : 'proven',
    reason: wrong ?? sample.failure,
  }
}

function judge(
  served: readonly string[] | null,
  reason: string | null,
  chain: readonly string[] | null,
): Pick<BalancerStatus, 'verdict' | 'reason'> {
  if (served === null) return { verdict: 'unknown', reason }
  if (chain === null) return { verdict: 'drift', reason: 'nothing was issued yet' }
  const wrong = servedWrong(served, { chain })
  return wrong === null ? { verdict: 'proven', reason: null } : { verdict: 'drift', reason: wrong }
}
