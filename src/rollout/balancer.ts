import { OnecertError } from '../base/errors.ts'
import type { BalancerControl, Fleet, Machine } from '../fleet/fleet.ts'
import type { Membership } from '../fleet/placement.ts'
import { type Connection, closeAll, outputText, type Reach } from '../reach/connection.ts'
import { receiverText } from '../reach/receiver.ts'

/** What HAProxy says of a member. */
export interface MemberState {
  readonly state: 'up' | 'drain' | 'maint' | 'down'
  readonly sessions: number
  /** How many more of its backend take new connections; backups do not count. */
  readonly others: number
}

/** The balancers of a rollout: one connection to each machine, opened when it is needed and kept to the end. */
export interface Balancers {
  /** @throws OnecertError SSH_*, RECEIVER_*, BALANCER_*, SERVER_TOOL_MISSING */
  look(membership: Membership): Promise<MemberState>
  /**
   * No new connections for the member: for `holdMs` at most, and no longer than this connection lasts.
   * @returns false where it is the last one that takes them by now
   */
  drain(membership: Membership, holdMs: number): Promise<boolean>
  /** New connections again for a member that was drained here. */
  ready(membership: Membership): Promise<void>
  /** Members of its backend that are drained here. */
  held(membership: Membership): number
  /** What is still drained is made ready by the balancer itself. */
  close(): Promise<void>
}

const machineOf = ({ reach, socket }: BalancerControl) => JSON.stringify([reach, socket])
const backendOf = ({ control }: Membership) => `${machineOf(control)} ${control.backend}`

export function openBalancers(
  fleet: Fleet,
  reachOf: (machine: Machine) => Reach,
  { timeoutMs, signal }: { readonly timeoutMs: number; readonly signal: AbortSignal },
): Balancers {
  const connections = new Map<string, Promise<Connection>>()
  const held = new Map<string, number>()
  const hold = (membership: Membership, more: number) => {
    const backend = backendOf(membership)
    held.set(backend, (held.get(backend) ?? 0) + more)
  }

  function connect({ control, site }: Membership): Promise<Connection> {
    const key = machineOf(control)
    const known = connections.get(key)
    if (known) return known
    const machine: Machine = {
      name: `the balancer of ${site}`,
      reach: control.reach,
      addresses: [],
      listeners: [],
      probe: 'direct',
    }
    const receiver = receiverText(
      {
        directory: '',
        test: [],
        reload: [],
        start: [],
        lineages: [],
        keyFolders: [],
        kind: 'none',
        dumps: {},
        includes: {},
        includeNamed: false,
        balancer: { socket: control.socket, members: membersAt(fleet, key) },
      },
      'balancer',
    )
    const opening = reachOf(machine)
      .open(machine, { receiver, carriesKey: false, sentAlong: true, timeoutMs, signal })
      .catch((error: unknown) => {
        throw error instanceof OnecertError && error.code === 'RECEIVER_OUTDATED' ? onlyReceiver(site, error) : error
      })
    connections.set(key, opening)
    opening.catch(() => forget(key, opening))
    return opening
  }

  /** Not one that somebody has opened in its place. */
  function forget(key: string, connection: Promise<Connection>): void {
    if (connections.get(key) === connection) connections.delete(key)
  }

  async function ask(membership: Membership, verb: string, words: readonly string[] = []) {
    const { control, member, site } = membership
    const opening = connect(membership)
    const connection = await opening
    const answer = await connection.request(verb, [control.backend, member, ...words]).catch(async (error: unknown) => {
      // It is of no more use; what it holds is given back when it ends.
      forget(machineOf(control), opening)
      await connection.close()
      throw error
    })
    if (answer.ok) return answer.facts
    throw new OnecertError(answer.code ?? 'RECEIVER_PROTOCOL', {
      what: `the balancer of ${site} does not do "${verb} ${control.backend}/${member}"`,
      fact: outputText(answer, '; ') || `its receiver said ${answer.code}`,
      state: `${member} is as HAProxy has it`,
      next: 'onecert check',
    })
  }

  return {
    async look(membership) {
      return memberState(await ask(membership, 'sessions'))
    },
    async drain(membership, holdMs) {
      // From the asking on: who looks behind it on the same connection sees it drained already.
      hold(membership, 1)
      let taken = false
      try {
        const facts = await ask(membership, 'drain', [String(Math.ceil(holdMs / 1000))])
        taken = facts.get('taken') === 'yes'
        return taken
      } finally {
        if (!taken) hold(membership, -1)
      }
    },
    async ready(membership) {
      await ask(membership, 'ready').finally(() => hold(membership, -1))
    },
    held: (membership) => held.get(backendOf(membership)) ?? 0,
    async close() {
      await closeAll(connections.values())
      connections.clear()
    },
  }
}

/** The deploy key of an enrolled server: what is installed there is the receiver of that server. */
function onlyReceiver(site: string, cause: OnecertError): OnecertError {
  return new OnecertError('RECEIVER_OUTDATED', {
    what: `the key for the balancer of ${site} may run the receiver that is installed there, and nothing else`,
    fact: `the receiver of a balancer is sent along: the "ssh" of its "control" needs an "identity" that may run a command there`,
    state: 'nothing was changed at the balancer',
    next: `give the control of ${site} another key (docs/guides/load-balancer.md), then: onecert apply`,
    cause,
  })
}

function memberState(facts: ReadonlyMap<string, string>): MemberState {
  const state = (['up', 'drain', 'maint'] as const).find((each) => each === facts.get('state')) ?? 'down'
  return { state, sessions: Number(facts.get('sessions')), others: Number(facts.get('others')) }
}

/** All that the fleet file has behind one Runtime API: a receiver of one rollout may drain these, and no others. */
function membersAt({ sites }: Fleet, machine: string): string[] {
  const controls = [...sites.values()].flatMap(({ topology }) =>
    topology.kind === 'load-balancer' ? topology.controls : [],
  )
  const members = controls
    .filter((control) => machineOf(control) === machine)
    .flatMap(({ backend, members: names }) => [...names.values()].map((member) => `${backend}/${member}`))
  return [...new Set(members)]
}
