import type { Certificate } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { windowState } from '../fleet/window.ts'
import { keyCopies } from '../ledger/keycopies.ts'
import { endpointText } from '../observe/endpoint.ts'
import type { Generation } from '../rollout/generation.ts'
import { type Known, type Plan, planRollout } from '../rollout/plan.ts'
import { serviceOf } from '../services/drivers.ts'
import { type Choice, chosenCertificates, type Haste, type Thoroughness } from './choice.ts'
import type { Context } from './context.ts'
import { issueCertificate } from './issue.ts'
import { lookAtAll } from './look.ts'
import { resumptionOf } from './resumption.ts'
import { ticketDecision, ticketServers, ticketStates } from './tickets.ts'

export interface Planned {
  readonly plan: Plan
  /** Why a CA would be asked for a new certificate first; null: it would not. */
  readonly wanted: string | null
  /** Why session ticket keys would be made or rotated; null: they would not. */
  readonly tickets: string | null
}

/**
 * What `apply` would do, lineage by lineage. A certificate of a local CA that is wanted is issued: it costs nothing, and
 * planning then knows its key. No other CA is asked for a certificate; when it wants the one that is there renewed, it is.
 */
export async function plan(context: Context, choice: Choice & Thoroughness): Promise<Planned[]> {
  const plans: Planned[] = []
  for (const certificate of chosenCertificates(context.fleet, choice)) {
    const options = { force: false, rekey: false, dryRun: true }
    const { generation, wanted } = await issueCertificate(context, certificate, options)
    const tickets = await ticketDecision(context, certificate, generation.spki)
    const changed = tickets !== null && tickets.decision.kind !== 'keep' ? tickets.decision.reason : null
    const set = changed === null ? (tickets?.state?.number ?? null) : nobodyHasIt
    plans.push({
      plan: await planCertificate(context, certificate, generation, { ...choice, now: null }, set),
      wanted,
      tickets: changed,
    })
  }
  return plans
}

/** The number of a set of ticket keys that is still to be made. */
const nobodyHasIt = -1

/**
 * The rollout of one generation, from what the ledger and the store know and what is served now.
 * @param ticketSet the session ticket keys that the servers should hold; null: none
 */
export async function planCertificate(
  context: Context,
  certificate: Certificate,
  generation: Generation,
  choice: Choice & Haste & Thoroughness,
  ticketSet: number | null,
): Promise<Plan> {
  const { fleet, store, ledger, clock, signal } = context
  const lineage = certificate.name
  const all = placements(fleet, lineage)
  const copies = keyCopies(await ledger.entries({ lineage }))
  const committed = await store.committedGenerations(lineage)
  const nowMs = clock.nowMs()
  // Where there is something to do in any case, what is served now decides nothing, but how long a server can wait.
  const looked = await lookAtAll(
    all.filter(
      ({ server }) =>
        committed.get(server.name) === generation.number || windowState(server.windows, nowMs).kind === 'closed',
    ),
    signal,
  )
  const { held = {}, reread = {} } = (await ticketStates(store).read(lineage)) ?? {}
  const taking = ticketServers(fleet, lineage)
  const apart = ticketSet === null ? [] : (await resumptionOf(context, certificate)).flatMap(({ odd }) => odd)
  const ticketsOn = (server: string): Known['tickets'] => {
    if (ticketSet === null) return held[server] === undefined ? 'right' : 'superfluous'
    if (!taking.includes(server)) return 'right'
    if (held[server] !== ticketSet) return 'missing'
    if (!apart.includes(server)) return 'right'
    // A service that does not name them is not to be reloaded for ever.
    return reread[server] === ticketSet ? 'apart-still' : 'apart'
  }
  const seen = [
    ...(await store.observations()).filter(
      ({ server, name, address, port }) =>
        !looked.some(
          ({ served, server: at, endpoint }) =>
            served && at === server && endpoint.name === name && endpoint.address === address && endpoint.port === port,
        ),
    ),
    ...looked.map(({ server, endpoint, served }) => ({
      server,
      name: endpoint.name,
      notAfterMs: served?.notAfterMs ?? null,
    })),
  ]
  const known = new Map<string, Known>(
    all.map(({ server, names }) => [
      server.name,
      {
        committed: committed.get(server.name) ?? null,
        tickets: ticketsOn(server.name),
        servedUntilMs: servedUntil(seen.filter(({ server: at, name }) => at === server.name && names.includes(name))),
        holds: new Set(copies.filter((copy) => copy.server === server.name).map(({ spki }) => spki)),
        served: new Map(
          looked
            .filter((look) => look.server === server.name)
            .map(({ endpoint, served }) => [endpointText(endpoint), served?.chain ?? null]),
        ),
      },
    ]),
  )
  return planRollout(fleet, certificate, generation, known, {
    fragile: new Set(
      all.filter(({ server }) => !serviceOf(server.service).reloadKeepsOldOnError).map(({ server }) => server.name),
    ),
    holders: new Set(copies.map(({ server }) => server)),
    nowMs,
    now: choice.now,
    ...(choice.servers && { only: new Set(choice.servers) }),
    thorough: choice.thorough ?? false,
  })
}

/** The first of its certificates that expires. */
function servedUntil(seen: readonly { readonly notAfterMs: number | null }[]): number | null {
  const ends = seen.flatMap(({ notAfterMs }) => notAfterMs ?? [])
  return ends.length === 0 ? null : Math.min(...ends)
}
