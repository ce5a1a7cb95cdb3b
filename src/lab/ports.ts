import { createServer } from 'node:net'
import { platform } from 'node:os'

/** Linux has all of 127.0.0.0/8; elsewhere only 127.0.0.1, where servers differ by their port. */
export const manyLoopbacks = platform() === 'linux'

const firstPort = 18_443
const portsTried = 400
const portStep = 32

/** A port from which on all places are free: the same port on many addresses, or a row of ports on one. */
export async function freePort(
  places: readonly { readonly address: string; readonly offset: number }[],
): Promise<number> {
  for (let port = firstPort; port < firstPort + portsTried * portStep; port += portStep) {
    const free = await Promise.all(places.map(({ address, offset }) => bindable(address, port + offset)))
    if (free.every(Boolean)) return port
  }
  throw new Error(`no free ports on ${places.map(({ address }) => address).join(', ')}`)
}

function bindable(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ host: address, port, exclusive: true }, () => server.close(() => resolve(true)))
  })
}
