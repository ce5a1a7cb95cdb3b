import { connect, createServer, type Socket } from 'node:net'
import { helloBytesMax, readServerName } from './client-hello.ts'
import { serveUntilAlone } from './pair.ts'

/**
 * A balancer that passes TLS through: it reads the server name of the ClientHello and gives the connection, untouched,
 * to the next member of that name's pool. Arguments: ADDRESS PORT PIDFILE NAME=ADDRESS:PORT,ADDRESS:PORT…
 */
const [address = '', port = '', pidFile = '', ...pools] = process.argv.slice(2)
const helloTimeoutMs = 5_000

const members = new Map(pools.map((pool) => [pool.split('=')[0] ?? '', (pool.split('=')[1] ?? '').split(',')]))
const turns = new Map<string, number>()

const server = createServer((client) => {
  let seen = Buffer.alloc(0)
  client.on('error', () => client.destroy())
  client.setTimeout(helloTimeoutMs, () => client.destroy())
  const read = (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk])
    const reading = readServerName(seen)
    if (reading.kind === 'more' && seen.length <= helloBytesMax) return
    client.off('data', read)
    client.pause()
    client.setTimeout(0)
    const pool = reading.kind === 'name' && reading.name ? members.get(reading.name) : undefined
    if (!pool) return void client.destroy()
    pass(client, seen, pool, turn(reading.kind === 'name' ? (reading.name ?? '') : ''), 0)
  }
  client.on('data', read)
})

function turn(name: string): number {
  const next = (turns.get(name) ?? -1) + 1
  turns.set(name, next)
  return next
}

/** To the member whose turn it is; one that refuses is passed over. */
function pass(client: Socket, hello: Buffer, pool: readonly string[], start: number, tried: number): void {
  const member = pool[(start + tried) % pool.length]
  if (member === undefined || tried >= pool.length) return void client.destroy()
  const [host = '', memberPort = ''] = member.split(':')
  const upstream = connect(Number(memberPort), host)
  upstream.once('error', () => pass(client, hello, pool, start, tried + 1))
  upstream.once('connect', () => {
    upstream.removeAllListeners('error')
    upstream.on('error', () => client.destroy())
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    upstream.write(hello)
    client.pipe(upstream).pipe(client)
  })
}

serveUntilAlone(pidFile, () => {})
server.listen(Number(port), address)
