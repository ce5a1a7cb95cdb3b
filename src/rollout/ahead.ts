import type { Machine } from '../fleet/fleet.ts'
import { type Connection, closeAll, type OpenOptions, type Reach } from '../reach/connection.ts'

/**
 * Connections that are opened before their server's turn, while others are waited for: nothing is sent over them but the
 * receiver's text, and nothing is done there.
 */
export interface Ahead extends Reach {
  /** Begins to open; how it ended is told to who opens it in its turn. */
  prepare(server: Machine, options: OpenOptions): void
  /** Closes what nobody took. */
  close(): Promise<void>
}

export function openAhead(reachOf: (server: Machine) => Reach): Ahead {
  const early = new Map<string, { readonly carriesKey: boolean; readonly connection: Promise<Connection> }>()
  return {
    prepare(server, options) {
      if (early.has(server.name)) return
      const connection = reachOf(server).open(server, options)
      connection.catch(() => {})
      early.set(server.name, { carriesKey: options.carriesKey, connection })
    },
    async open(server, options) {
      const prepared = early.get(server.name)
      early.delete(server.name)
      if (prepared?.carriesKey === options.carriesKey) return prepared.connection
      if (prepared) await closeAll([prepared.connection])
      return reachOf(server).open(server, options)
    },
    async close() {
      await closeAll([...early.values()].map(({ connection }) => connection))
      early.clear()
    },
  }
}
