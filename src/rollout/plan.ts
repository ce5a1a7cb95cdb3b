import type { Certificate, Fleet, Placement, RolloutPolicy } from '../fleet/fleet.ts'
import { type Membership, membershipsOf, placements } from '../fleet/placement.ts'
import { endpointsOf, endpointText } from '../observe/endpoint.ts'
import { servedWrong } from '../observe/served.ts'
import type { Generation } from './generation.ts'
import { licenceSeats } from './licence.ts'
import { turnOf } from './turn.ts'
import { spareLastHealthy, waves } from './wave.ts'

/** What is known of one server before a rollout. */
export interface Known {
  /** The generation that was last committed there. */
  readonly committed: number | null
  /** SPKIs of the key copies that the ledger knows there. */
  readonly holds: ReadonlySet<string>
  /** When the certificate that it serves expires; null where that is not known. */
  readonly servedUntilMs: number | null
  /** What each of its endpoints served just now; null where it was not looked at or did not answer. */
  readonly served: ReadonlyMap<string, readonly string[] | null>
  /**
   * Its session ticket keys. `missing`: it has not got those that it should have; `apart`: it should have them, and sessions of
   * the others do not resume there; `apart-still`: the same, after a reload for that reason alone; `superfluous`: it should have
   * none any more.
   */
  readonly tickets: 'right' | 'missing' | 'apart' | 'apart-still' | 'superfluous'
}

/** `none`: proven, nothing to do. `chain`: new chain, the key is there. `key`: the private key travels. `check`: look on
 * the server; it should be right there but is not served, could not be looked at from here, or a thorough look is wanted. `tickets`: only its session
 * ticket keys change. */
export type Action = 'none' | 'check' | 'tickets' | 'chain' | 'key'

export interface PlannedServer {
  readonly placement: Placement
  readonly action: Action
  readonly reason: string
  /** Session ticket keys travel too. */
  readonly ticketKeys: boolean
  /** What is right on its disk may not be what its service has read: it is reloaded in any case. */
  readonly rereads: boolean
  /** Why it is changed although its maintenance window is closed. */
  readonly override?: string
  /** Where it is drained for its reload. */
  readonly memberships: readonly Membership[]
}

export interface WaitingServer extends PlannedServer {
  /** When its maintenance window opens, such as 2026-11-29T02:00+01:00. */
  readonly opensAt: string
}

export interface Plan {
  readonly certificate: Certificate
  readonly generation: Generation
  readonly policy: RolloutPolicy
  readonly waves: readonly (readonly PlannedServer[])[]
  readonly proven: readonly PlannedServer[]
  /** Their maintenance windows are closed: named, not touched. */
  readonly waiting: readonly WaitingServer[]
  /** No licence seat: named, not touched. */
  readonly blocked: readonly Placement[]
  /** Key copies that will travel. */
  readonly keyCopies: number
}

/** The rollout of one generation over the servers of its lineage. Pure. */
export function planRollout(
  fleet: Fleet,
  certificate: Certificate,
  generation: Generation,
  known: ReadonlyMap<string, Known>,
  options: {
    readonly fragile: ReadonlySet<string>
    readonly holders: ReadonlySet<string>
    readonly only?: ReadonlySet<string>
    /** What lies on the servers is looked at, also where what they serve is right. */
    readonly thorough?: boolean
    readonly nowMs: number
    /** The reason that a person gave not to wait for maintenance windows. */
    readonly now: string | null
  },
): Plan {
  const all = placements(fleet, certificate.name)
  const seats = licenceSeats(
    all.map(({ server }) => server.name),
    options.holders,
    certificate.licence?.servers,
  )
  const blocked = all.filter(({ server }) => seats.blocked.includes(server.name))
  const planned = all
    .filter(({ server }) => seats.allowed.includes(server.name) && (options.only?.has(server.name) ?? true))
    .map((placement) => {
      const { server } = placement
      const wanted = planServer(placement, generation, known.get(server.name), options.thorough ?? false)
      // HAProxy that takes a certificate into its memory ends no connection; ticket keys it takes with a reload.
      const reloads = server.service.socket === undefined || wanted.ticketKeys || wanted.rereads
      return { ...wanted, memberships: reloads ? membershipsOf(fleet, server.name) : [] }
    })
  const todo = new Map<string, PlannedServer>()
  const waiting: WaitingServer[] = []
  for (const each of planned.filter(({ action }) => action !== 'none')) {
    const { name, windows } = each.placement.server
    const turn = turnOf(windows, options.nowMs, {
      now: options.now,
      servedUntilMs: known.get(name)?.servedUntilMs ?? null,
    })
    if (turn.kind === 'waits') waiting.push({ ...each, opensAt: turn.opensAt })
    else todo.set(name, turn.kind === 'override' ? { ...each, override: turn.reason } : each)
  }
  const sites = [...fleet.sites.values()].filter(({ certificates }) => certificates.includes(certificate.name))
  const cut = spareLastHealthy(waves([...todo.keys()], fleet.rollout), sites, options.fragile)
  return {
    certificate,
    generation,
    policy: fleet.rollout,
    waves: cut.map((wave) => wave.flatMap((name) => todo.get(name) ?? [])),
    proven: planned.filter(({ action }) => action === 'none'),
    waiting,
    blocked,
    keyCopies: [...todo.values()].filter(({ action }) => action === 'key').length,
  }
}

function planServer(
  placement: Placement,
  generation: Generation,
  known: Known | undefined,
  thorough: boolean,
): Omit<PlannedServer, 'memberships'> {
  const tickets = known?.tickets ?? 'right'
  const say = (action: Action, reason: string) => ({
    placement,
    action,
    reason,
    ticketKeys: tickets === 'missing',
    rereads: tickets === 'apart',
  })
  if (!known?.holds.has(generation.spki))
    return say('key', known?.holds.size ? 'holds an older key' : 'holds no copy yet')
  if (known.committed !== generation.number) {
    return say('chain', known.committed === null ? 'not committed yet' : `has generation ${known.committed}`)
  }
  for (const endpoint of endpointsOf(placement)) {
    const served = known.served.get(endpointText(endpoint))
    const site = endpoint.name || 'the default site'
    if (served == null) return say('check', `${site} could not be looked at from here`)
    const wrong = servedWrong(served, generation)
    if (wrong) return say('check', `${site} ${wrong}`)
  }
  if (tickets === 'missing') return say('tickets', 'has older ticket keys, or none')
  if (tickets === 'apart') return say('tickets', 'sessions do not resume there: reloaded once more')
  if (tickets === 'apart-still') return say('tickets', 'sessions do not resume there, after one more reload either')
  if (tickets === 'superfluous') return say('tickets', 'the fleet file asks for none any more')
  if (thorough) return say('check', 'serves what it should; what lies there is looked at too')
  return say('none', 'proven')
}
