import type { Certificate, Fleet, Placement, RolloutPolicy } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { endpointsOf, endpointText } from '../observe/endpoint.ts'
import type { Generation } from './generation.ts'
import { licenceSeats } from './licence.ts'
import { spareLastHealthy, waves } from './wave.ts'

/** What is known of one server before a rollout. */
export interface Known {
  /** The generation that was last committed there. */
  readonly committed: number | null
  /** SPKIs of the key copies that the ledger knows there. */
  readonly holds: ReadonlySet<string>
  /** What each of its endpoints served just now; null where it was not looked at or did not answer. */
  readonly served: ReadonlyMap<string, readonly string[] | null>
  /**
   * Its session ticket keys. `missing`: it has not got those that it should have; `apart`: it should have them, and sessions of
   * the others do not resume there; `superfluous`: it should have none any more.
   */
  readonly tickets: 'right' | 'missing' | 'apart' | 'superfluous'
}

/** `none`: proven, nothing to do. `chain`: new chain, the key is there. `key`: the private key travels. `check`: look on
 * the server; it should be right there but is not served, or could not be looked at from here. `tickets`: only its session
 * ticket keys change. */
export type Action = 'none' | 'check' | 'tickets' | 'chain' | 'key'

export interface PlannedServer {
  readonly placement: Placement
  readonly action: Action
  readonly reason: string
  /** Session ticket keys travel too. */
  readonly ticketKeys: boolean
}

export interface Plan {
  readonly certificate: Certificate
  readonly generation: Generation
  readonly policy: RolloutPolicy
  readonly waves: readonly (readonly PlannedServer[])[]
  readonly proven: readonly PlannedServer[]
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
    .map((placement) => planServer(placement, generation, known.get(placement.server.name)))
  const todo = new Map(
    planned.filter(({ action }) => action !== 'none').map((each) => [each.placement.server.name, each]),
  )
  const sites = [...fleet.sites.values()].filter(({ certificates }) => certificates.includes(certificate.name))
  const cut = spareLastHealthy(waves([...todo.keys()], fleet.rollout), sites, options.fragile)
  return {
    certificate,
    generation,
    policy: fleet.rollout,
    waves: cut.map((wave) => wave.flatMap((name) => todo.get(name) ?? [])),
    proven: planned.filter(({ action }) => action === 'none'),
    blocked,
    keyCopies: planned.filter(({ action }) => action === 'key').length,
  }
}

function planServer(placement: Placement, generation: Generation, known: Known | undefined): PlannedServer {
  const tickets = known?.tickets ?? 'right'
  const say = (action: Action, reason: string) => ({ placement, action, reason, ticketKeys: tickets === 'missing' })
  if (!known?.holds.has(generation.spki))
    return say('key', known?.holds.size ? 'holds an older key' : 'holds no copy yet')
  if (known.committed !== generation.number) {
    return say('chain', known.committed === null ? 'not committed yet' : `has generation ${known.committed}`)
  }
  for (const endpoint of endpointsOf(placement)) {
    const served = known.served.get(endpointText(endpoint))
    if (served == null) return say('check', `${endpoint.name} could not be looked at from here`)
    const wrong = servedWrong(served, generation)
    if (wrong) return say('check', `${endpoint.name} ${wrong}`)
  }
  if (tickets === 'missing') return say('tickets', 'has older ticket keys, or none')
  if (tickets === 'apart') return say('tickets', 'sessions do not resume there')
  if (tickets === 'superfluous') return say('tickets', 'the fleet file asks for none any more')
  return say('none', 'proven')
}

/** Why what was served is not the generation; null where it is. Leaf and chain must be the very ones, in order. */
export function servedWrong(served: readonly string[], generation: Pick<Generation, 'chain'>): string | null {
  if (served[0] !== generation.chain[0]) {
    return `serves ${served[0]?.slice(0, 8) ?? 'nothing'}, expected ${generation.chain[0]?.slice(0, 8)}`
  }
  if (served.length < generation.chain.length) return 'serves an incomplete chain'
  return generation.chain.every((fingerprint, at) => served[at] === fingerprint) ? null : 'serves another chain'
}
