import { type Finding, isUnseen } from '../audit/finding.ts'
import { shelf } from '../issue/notes.ts'
import type { Endpoint } from '../observe/endpoint.ts'
import { span } from '../pki/text.ts'
import type { Context } from './context.ts'
import type { Looked } from './look.ts'

/** When servers were last seen, in ms: endpoints by rollouts and audits, files by audits. */
export interface Seen {
  endpoint(server: string, endpoint: Endpoint): number | null
  files(server: string): number | null
}

const shelfName = 'all'
const filesSeen = ({ store }: Context) => shelf<Readonly<Record<string, number>>>(store, 'files-seen')

export async function lastSeen(context: Context): Promise<Seen> {
  const at = (server: string, name: string, address: string, port: number) =>
    JSON.stringify([server, name, address, port])
  const observed = (await context.store.observations()).map(
    (row) => [at(row.server, row.name, row.address, row.port), row.atMs] as const,
  )
  const endpoints = new Map(observed)
  const files = (await filesSeen(context).read(shelfName)) ?? {}
  return {
    // Of two certificates at one endpoint nobody noted which was seen.
    endpoint: (server, { name, address, port, keyKind }) =>
      keyKind === undefined ? (endpoints.get(at(server, name, address, port)) ?? null) : null,
    files: (server) => files[server] ?? null,
  }
}

/** What an audit saw: the store alone is changed. Servers that left the fleet file are forgotten. */
export async function recordSeen(
  context: Context,
  looked: readonly Looked[],
  visited: Iterable<string>,
): Promise<void> {
  const { fleet, store, clock } = context
  const atMs = clock.nowMs()
  const observations = looked.map(async ({ server, endpoint: { name, address, port }, served, vantage }) => {
    if (served === null || vantage === null) return
    const [fingerprint = null] = served.chain
    const { notAfterMs } = served
    await store.recordObservation({ server, name, address, port, atMs, vantage, fingerprint, notAfterMs, reason: null })
  })
  const now = Object.fromEntries([...visited].map((server) => [server, atMs]))
  const files = filesSeen(context).change(shelfName, (before) =>
    Object.fromEntries(Object.entries({ ...before, ...now }).filter(([server]) => fleet.servers.has(server))),
  )
  await Promise.all([...observations, files])
}

/** What could not be looked at, with how long that is so. */
export function since(found: readonly Finding[], seenMs: number | null, nowMs: number): Finding[] {
  if (seenMs === null) return [...found]
  return found.map((each) =>
    isUnseen(each)
      ? { ...each, what: `${each.what}; last seen ${span(nowMs - seenMs)} ago`, since: new Date(seenMs).toISOString() }
      : each,
  )
}
