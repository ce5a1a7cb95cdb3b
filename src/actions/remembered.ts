import { isDeepStrictEqual } from 'node:util'
import type { Server } from '../fleet/fleet.ts'
import { shelf } from '../issue/notes.ts'
import type { ReceiverSettings } from '../reach/receiver.ts'
import { receiverSettings } from '../rollout/receiver.ts'
import type { Context } from './context.ts'

/** How a server is reached and what its receiver may do: what a purge needs when it has left the fleet file. No secret. */
export interface Remembered {
  readonly server: Omit<Server, 'files'>
  readonly settings: ReceiverSettings
}

const shelfName = 'all'
const remembered = ({ store }: Pick<Context, 'store'>) => shelf<Readonly<Record<string, Remembered>>>(store, 'servers')

/** Before they get a copy. One note for all: a rollout that changes none of them writes nothing. */
export async function rememberServers(context: Context, servers: readonly Server[]): Promise<void> {
  const known = (await remembered(context).read(shelfName)) ?? {}
  const now = servers.map((server): [string, Remembered] => {
    const { files: _, ...rest } = server
    return [server.name, { server: rest, settings: receiverSettings(context.fleet, server) }]
  })
  if (now.every(([name, each]) => isDeepStrictEqual(known[name], JSON.parse(JSON.stringify(each))))) return
  await remembered(context).change(shelfName, (before) => ({ ...before, ...Object.fromEntries(now) }))
}

export async function rememberedServer(context: Context, name: string): Promise<Remembered | null> {
  const known = (await remembered(context).read(shelfName))?.[name]
  if (!known) return null
  // Notes of before a server could have several.
  return { ...known, server: { ...known.server, addresses: known.server.addresses ?? [known.server.address] } }
}

export async function forgetServer(context: Context, name: string): Promise<void> {
  await remembered(context).change(shelfName, (before) => {
    const { [name]: _, ...rest } = before ?? {}
    return Object.keys(rest).length === 0 ? null : rest
  })
}
