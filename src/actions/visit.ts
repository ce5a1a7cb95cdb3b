import { type KeyRights, keyRights } from '../audit/rights.ts'
import type { Fleet, Placement, Server } from '../fleet/fleet.ts'
import { type DiskFacts, type KeyFacts, lookForKeys, lookOnDisk } from '../observe/disk.ts'
import { endpointsOf } from '../observe/endpoint.ts'
import { oldProtocolAt } from '../observe/old-protocol.ts'
import type { Connection } from '../reach/connection.ts'
import { type Look, lookThrough } from '../rollout/prober.ts'
import { receiverFor, receiverSettings } from '../rollout/receiver.ts'
import { type Discovery, readDiscovery } from '../services/discover/discover.ts'
import { dumpable } from '../services/discover/dump.ts'
import { serviceOf } from '../services/drivers.ts'
import { withConnection } from './connection.ts'
import type { Context } from './context.ts'
import { lookOnce, type Shown, timeoutMs } from './look.ts'
import { furtherLooks, type LookedAgain } from './look-again.ts'

/** What was found on a server, over one connection. */
export interface Visit {
  /** By lineage. */
  readonly disks: ReadonlyMap<string, DiskFacts>
  /** null: the server has no tool to look for them. */
  readonly keys: KeyFacts | null
  /** What it serves, where that cannot be seen from here; by lineage. */
  readonly looked: ReadonlyMap<string, readonly LookedAgain[]>
  /** What the configuration of its service says; null: that cannot be read. */
  readonly configured: Discovery | null
}

/**
 * Looks at the files of a server, for private keys and, where it is probed through the server, at what it serves. Nothing
 * is changed there.
 * @throws OnecertError SSH_*, SUDO_*, RECEIVER_*
 */
export async function visit(context: Context, server: Server, placed: ReadonlyMap<string, Placement>): Promise<Visit> {
  const { fleet, clock, signal } = context
  return withConnection(context, server, receiverFor(fleet, server, 'audit'), async (connection) => {
    const disks = new Map<string, DiskFacts>()
    const looked = new Map<string, readonly LookedAgain[]>()
    const look = lookThrough(connection)
    for (const [lineage, placement] of placed) {
      const { reader } = keyRightsOf(fleet, server, lineage)
      const account = reader && 'user' in reader ? reader.user : null
      disks.set(lineage, await lookOnDisk(connection.request, () => clock.nowMs(), lineage, account))
      if (server.probe !== 'direct') looked.set(lineage, await lookAtPlaced(placement, connection, look, signal))
    }
    const service = serviceOf(server.service)
    const kind = placed.size === 0 ? null : dumpable(service, server.service.test === undefined)
    const [keys, answer] = await Promise.all([
      lookForKeys(connection.request),
      kind === null ? null : connection.request('discover', [kind]),
    ])
    return { disks, looked, keys, configured: kind && answer?.ok ? readDiscovery(kind, answer.output) : null }
  })
}

/** As often as from here, through the server. */
async function lookAtPlaced(
  placement: Placement,
  connection: Connection,
  look: Look,
  signal: AbortSignal,
): Promise<readonly LookedAgain[]> {
  const seen: LookedAgain[] = []
  for (const endpoint of endpointsOf(placement)) {
    const first = await lookOnce(endpoint, signal, look)
    const again: Shown[] = []
    while (first.served !== null && again.length < furtherLooks) again.push(await lookOnce(endpoint, signal, look))
    // The openssl of a server that forbids forwards would not say why it failed.
    const open = () => connection.forward(endpoint.address, endpoint.port)
    const oldProtocol =
      first.vantage === 'forwarded' ? await oldProtocolAt(endpoint, { timeoutMs, signal, open }) : null
    seen.push({ server: placement.server.name, endpoint, ...first, again, oldProtocol })
  }
  return seen
}

/** As a rollout makes the files with the key. */
export function keyRightsOf(fleet: Fleet, server: Server, lineage: string): KeyRights {
  const folder = `${server.directory}/${lineage}`
  const made = receiverSettings(fleet, server).lineages.find((each) => each.lineage === lineage)
  const wanted = { folder, mode: made?.keyMode ?? '0600', ...(made?.owner !== undefined && { owner: made.owner }) }
  return keyRights(serviceOf(server.service), wanted, server.files.get(lineage)?.owner)
}
