import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import type { NameServer } from '../../src/dns/exchange.ts'
import { chooseEndpoint, type Endpoint } from './running.ts'

export type Transport = 'udp' | 'tcp'
/** What becomes of a response on its way; null: it is lost. */
export type Meddle = (response: Buffer, transport: Transport) => Buffer | null

export interface DnsRelay extends AsyncDisposable, NameServer {
  readonly server: string
  /** How many requests came in. */
  readonly seen: Record<Transport, number>
}

/** Stands between a client and a name server, and changes what the server says. */
export async function startDnsRelay(to: NameServer, meddle: Meddle, at: Endpoint = {}): Promise<DnsRelay> {
  const { address, port } = await chooseEndpoint(at)
  const seen = { udp: 0, tcp: 0 }
  const open = new Set<{ destroy(): void }>()
  const udp = createSocket('udp4')
  udp.on('message', (request, from) => {
    seen.udp += 1
    const beyond = createSocket('udp4')
    const close = { destroy: () => beyond.close() }
    open.add(close)
    beyond.on('error', () => {})
    beyond.on('message', (response) => {
      const changed = meddle(response, 'udp')
      if (changed) udp.send(changed, from.port, from.address)
    })
    beyond.send(request, to.port, to.address)
  })
  udp.bind(port, address)
  await once(udp, 'listening')
  const tcp = createServer((near) => {
    seen.tcp += 1
    const far = connect(to.port, to.address)
    for (const socket of [near, far]) {
      open.add(socket)
      socket.on('error', () => {}).on('close', () => end(near, far))
    }
    near.pipe(far)
    let received = Buffer.alloc(0)
    far.on('data', (bytes: Buffer) => {
      received = Buffer.concat([received, bytes])
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return
      const changed = meddle(received.subarray(2), 'tcp')
      if (changed === null) return end(near, far)
      const length = Buffer.alloc(2)
      length.writeUInt16BE(changed.length)
      near.write(Buffer.concat([length, changed]))
    })
  })
  tcp.listen(port, address)
  await once(tcp, 'listening')
  return {
    address,
    port,
    server: `${address}:${port}`,
    seen,
    async [Symbol.asyncDispose]() {
      for (const each of open) each.destroy()
      udp.close()
      tcp.close()
      await once(tcp, 'close')
    },
  }
}

function end(...sockets: readonly Socket[]): void {
  for (const socket of sockets) socket.destroy()
}
