import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Secret } from '../base/secret.ts'
import type { KeyKeeper } from '../issue/issuer.ts'
import { localCa } from '../issue/local-ca.ts'
import { fullchainPem } from '../pki/bundle.ts'
import { privateKeyPem } from '../pki/key.ts'
import { startNames } from './names.ts'
import { freePort, manyLoopbacks } from './ports.ts'

/** One server of the lab that holds a copy. */
export interface LabServer {
  readonly name: string
  readonly location: string
  readonly address: string
  readonly port: number
  readonly directory: string
  readonly pidFile: string
}

export interface Place {
  readonly address: string
  readonly port: number
}

/** The three topologies, running. */
export interface Lab {
  readonly fleetFile: string
  readonly stateDirectory: string
  readonly servers: readonly LabServer[]
  readonly balancer: Place
  readonly names: Place
  /** Puts another certificate on a server, as a forgotten script might. */
  breakServer(server: LabServer): Promise<void>
  stop(): Promise<void>
}

const sites = { dns: 'www.lab.example', balanced: 'shop.lab.example', proxied: 'app.lab.example' } as const
export const labSites = sites

const plan = [
  { name: 'eu-1', location: 'frankfurt' },
  { name: 'us-1', location: 'ashburn' },
  { name: 'ap-1', location: 'singapore' },
  { name: 'web-1', location: 'cluster' },
  { name: 'web-2', location: 'cluster' },
  { name: 'web-3', location: 'cluster' },
  { name: 'edge', location: 'proxy' },
] as const

const startTimeoutMs = 10_000

/** Starts everything on loopback addresses, in a directory that `stop()` takes away. */
export async function startLab(directory: string): Promise<Lab> {
  const address = (at: number) => (manyLoopbacks ? `127.7.0.${at + 11}` : '127.0.0.1')
  const offset = (at: number) => (manyLoopbacks ? 0 : at)
  const places = Array.from({ length: plan.length + 3 }, (_, at) => ({ address: address(at), offset: offset(at) }))
  const port = await freePort(places)
  const place = (at: number): Place => ({ address: address(at), port: port + offset(at) })
  const servers = plan.map((each, at): LabServer => {
    const home = join(directory, 'servers', each.name)
    return { ...each, ...place(at), directory: home, pidFile: join(home, 'pid') }
  })
  const [balancer, upstream, names] = [place(plan.length), place(plan.length + 1), place(plan.length + 2)]
  const children: ChildProcess[] = []
  const start = async (file: string, words: readonly string[], pidFile: string) => {
    const child = spawn(process.execPath, [new URL(file, import.meta.url).pathname, ...words], {
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    children.push(child)
    await started(pidFile, child)
  }

  for (const server of servers) await mkdir(server.directory, { recursive: true })
  await writeFile(join(directory, 'reload'), 'kill -HUP "$(cat "$1")"\n')
  const upstreamPid = join(directory, 'upstream.pid')
  const balancerPid = join(directory, 'balancer.pid')
  const pool = servers.slice(3, 6).map((member) => `${member.address}:${member.port}`)
  await Promise.all([
    ...servers.map((server) => {
      const current = join(server.directory, 'www', 'current')
      const proxied = server.name === 'edge' ? [`http://${upstream.address}:${upstream.port}`] : []
      const words = [server.name, server.address, String(server.port), current, server.pidFile, ...proxied]
      return start('tls-process.ts', words, server.pidFile)
    }),
    start('http-process.ts', ['upstream-1', upstream.address, String(upstream.port), upstreamPid], upstreamPid),
    start(
      'balancer-process.ts',
      [balancer.address, String(balancer.port), balancerPid, `${sites.balanced}=${pool.join(',')}`],
      balancerPid,
    ),
  ])
  const nameServer = await startNames(
    names.address,
    names.port,
    new Map([[sites.dns, servers.slice(0, 3).map((each) => each.address)]]),
  )

  const fleetFile = join(directory, 'onecert.yaml')
  await writeFile(fleetFile, fleetText(directory, servers, balancer, upstream))
  return {
    fleetFile,
    stateDirectory: join(directory, 'state'),
    servers,
    balancer,
    names,
    breakServer,
    async stop() {
      await nameServer.close()
      await Promise.all(
        children.map(async (child) => {
          if (child.exitCode !== null || child.signalCode !== null) return
          const gone = once(child, 'exit')
          child.kill()
          await gone
        }),
      )
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function started(pidFile: string, child: ChildProcess): Promise<void> {
  const until = Date.now() + startTimeoutMs
  while (!existsSync(pidFile)) {
    if (child.exitCode !== null || Date.now() > until)
      throw new Error(`a process of the lab did not start: ${child.spawnargs.join(' ')}`)
    await sleep(20)
  }
}

async function breakServer(server: LabServer): Promise<void> {
  const base = join(server.directory, 'www')
  const rogue = join(base, 'rogue')
  const bundle = await localCa(
    { kind: 'local-ca', name: 'rogue', commonName: 'Forgotten', lifetimeMs: 86_400_000 },
    inMemory(),
  ).issue({
    lineage: 'rogue',
    names: Object.values(sites),
    keyType: 'ec-p256',
    keepKey: null,
    nowMs: Date.now(),
    newest: null,
  })
  if (!bundle) throw new Error('the forgotten CA issued nothing')
  await mkdir(rogue, { recursive: true })
  await writeFile(join(rogue, 'fullchain.pem'), fullchainPem(bundle))
  await writeFile(join(rogue, 'privkey.pem'), privateKeyPem(bundle.key).reveal(), { mode: 0o600 })
  await symlink('rogue', join(base, 'current.new'))
  await rename(join(base, 'current.new'), join(base, 'current'))
  process.kill(Number(await readFile(server.pidFile, 'utf8')), 'SIGHUP')
}

function inMemory(): KeyKeeper {
  const kept = new Map<string, Secret<string>>()
  const place = (lineage: string, spki: string) => `${lineage} ${spki}`
  return {
    async put(lineage, key, spki) {
      kept.set(place(lineage, spki), key)
    },
    async get(lineage, spki) {
      const key = kept.get(place(lineage, spki))
      if (!key) throw new Error('no such key')
      return key
    },
    has: async (lineage, spki) => kept.has(place(lineage, spki)),
    list: async () =>
      [...kept.keys()].map((each) => ({ lineage: each.split(' ')[0] ?? '', spki: each.split(' ')[1] ?? '' })),
  }
}

function fleetText(directory: string, servers: readonly LabServer[], balancer: Place, upstream: Place): string {
  const lines = servers.map(
    ({ name, location, address, port, directory: home, pidFile }) =>
      `  ${name}:\n    { local: true, address: ${address}, port: ${port}, location: ${location}, directory: ${home},\n` +
      `      service: { command: { reload: [/bin/sh, ${directory}/reload, ${pidFile}] } } }`,
  )
  return `# The fleet file of the demo: three topologies, one certificate.
version: 1
issuers:
  lab: { local-ca: { common-name: Lab, lifetime: 30d } }
certificates:
  www:
    names: [${Object.values(sites).join(', ')}]
    issuer: lab
    key: { type: ec-p256, keep-for: 180d }
    licence: { servers: 10 }
servers:
${lines.join('\n')}
sites:
  ${sites.dns}:  { certificate: www, dns: [eu-1, us-1, ap-1] }
  ${sites.balanced}: { certificate: www, load-balancer: { address: ${balancer.address}, port: ${balancer.port}, servers: [web-1, web-2, web-3] } }
  ${sites.proxied}:  { certificate: www, reverse-proxy: { servers: [edge], upstreams: ["http://${upstream.address}:${upstream.port}"] } }
rollout: { canary: 1, wave: 50%, confirm-within: 20s }
`
}
