import type { EndpointSeen, OneLook } from '../audit/served.ts'
import { asOnecertError } from '../base/errors.ts'
import type { Placement, Server } from '../fleet/fleet.ts'
import { type DiskFacts, type KeyFacts, lookForKeys, lookOnDisk } from '../observe/disk.ts'
import { endpointsOf } from '../observe/endpoint.ts'
import { lookThrough } from '../rollout/prober.ts'
import { receiverFor } from '../rollout/receiver.ts'
import type { Context } from './context.ts'
import { furtherLooks } from './look-again.ts'

/** What was found on a server, over one connection. */
export interface Visit {
  /** By lineage. */
  readonly disks: ReadonlyMap<string, DiskFacts>
  /** null: the server has no tool to look for them. */
  readonly keys: KeyFacts | null
  /** What it serves, where that cannot be seen from here; by lineage. */
  readonly looked: ReadonlyMap<string, readonly EndpointSeen[]>
}

const connectTimeoutMs = 15_000
const handshakeTimeoutMs = 5_000

/**
 * Looks at the files of a server, for private keys and, where it is probed through the server, at what it serves. Nothing
 * is changed there.
 * @throws OnecertError SSH_*, SUDO_*, RECEIVER_*
 */
export async function visit(context: Context, server: Server, placed: ReadonlyMap<string, Placement>): Promise<Visit> {
  const { fleet, signal } = context
  const connection = await context.reachOf(server).open(server, {
    receiver: receiverFor(fleet, server, 'audit'),
    carriesKey: false,
    timeoutMs: connectTimeoutMs,
    signal,
  })
  try {
    const disks = new Map<string, DiskFacts>()
    const looked = new Map<string, EndpointSeen[]>()
    const look = lookThrough(connection)
    for (const [lineage, placement] of placed) {
      disks.set(lineage, await lookOnDisk(connection.request, lineage))
      if (server.probe === 'direct') continue
      const seen: EndpointSeen[] = []
      for (const endpoint of endpointsOf(placement)) {
        const once = async (): Promise<OneLook> => {
          try {
            return { served: (await look(endpoint, handshakeTimeoutMs)).served, reason: null }
          } catch (thrown) {
            return { served: null, reason: asOnecertError(thrown).failure.what }
          }
        }
        const first = await once()
        const again: OneLook[] = []
        while (first.served !== null && again.length < furtherLooks) again.push(await once())
        seen.push({ server: server.name, endpoint, ...first, again })
      }
      looked.set(lineage, seen)
    }
    return { disks, looked, keys: await lookForKeys(connection.request) }
  } finally {
    await connection.close()
  }
}
