import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { platform } from 'node:os'

/** Linux has all of 127.0.0.0/8; elsewhere only 127.0.0.1, where servers differ by their port. */
export const manyLoopbacks = platform() === 'linux'

const firstPort = 18_443
const portsTried = 400
const portStep = 32

/** The port `base + offset` of an address. */
export interface Offset {
  readonly address: string
  readonly offset: number
}

export interface Claim extends AsyncDisposable {
  readonly base: number
}

/**
 * A base from which on all places are free. Most of them are listened on only later, so `token` is held from the
 * beginning to the end: two labs that start at once never choose the same base.
 */
export async function claimPorts(token: Offset, places: readonly Offset[]): Promise<Claim> {
  for (let base = firstPort; base < firstPort + portsTried * portStep; base += portStep) {
    const held = await bind(token, base)
    if (!held) continue
    const free = await Promise.all(places.map((place) => isFree(place, base)))
    if (free.every(Boolean)) return { base, [Symbol.asyncDispose]: () => close(held) }
    await close(held)
  }
  throw new Error(`no free ports on ${places.map(({ address }) => address).join(', ')}`)
}

async function isFree(place: Offset, base: number): Promise<boolean> {
  const server = await bind(place, base)
  if (server) await close(server)
  return server !== null
}

function bind({ address, offset }: Offset, base: number): Promise<Server | null> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(null))
    server.listen({ host: address, port: base + offset, exclusive: true }, () => resolve(server))
  })
}

async function close(server: Server): Promise<void> {
  const closed = once(server, 'close')
  server.close()
  await closed
}
