import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startNames } from './names.ts'
import { putStranger } from './stranger.ts'
import { balanced, fleetText, type Ground, labSites, layOut, namedByDns, type Place, type Spot } from './topology.ts'

/** One server of the lab that holds a copy. */
export interface LabServer extends Spot {
  start(): Promise<void>
  /** All that runs there ends, as when somebody turns the machine off. */
  stop(): Promise<void>
  /** Puts another certificate there and reloads the service, as a forgotten script might. */
  breakCertificate(): Promise<void>
}

/** The three topologies, running. */
export interface Lab {
  readonly directory: string
  readonly fleetFile: string
  readonly stateDirectory: string
  readonly servers: readonly LabServer[]
  readonly balancer: Place
  readonly names: Place
  /** Ends everything and takes the directory away. */
  stop(): Promise<void>
}

/** What differs between the labs: what the processes are. */
export interface Build {
  /** The servers, not started yet. */
  readonly servers: readonly LabServer[]
  /** How a server is reached and what serves there, as lines of its mapping in the fleet file. */
  entry(server: Spot): readonly string[]
  /** How the balancer is told to drain a member, as in the fleet file; absent: it cannot be told. */
  readonly control?: string
  /** Starts the balancer and the upstream; whatever has to be ended later is given to `stack`. */
  startOthers(stack: AsyncDisposableStack): Promise<void>
}

const startTimeoutMs = 10_000

/** Starts everything on loopback addresses as small processes of Node, in a directory that `stop()` takes away. */
export function startLab(directory: string): Promise<Lab> {
  return assemble(directory, async (ground) => {
    const reload = join(directory, 'reload')
    await writeFile(reload, 'kill -HUP "$(cat "$1")"\n')
    return {
      servers: ground.servers.map((spot) => embeddedServer(spot, ground)),
      entry: (spot) => [
        'local: true',
        `service: { command: { reload: [/bin/sh, ${reload}, ${join(spot.directory, 'pid')}] } }`,
      ],
      async startOthers(stack) {
        const { upstream, balancer } = ground
        const pool = balanced(ground).map((member) => `${member.address}:${member.port}`)
        const start = async (file: string, pidFile: string, words: readonly string[]) => {
          const child = await startProcess(file, words, pidFile)
          stack.defer(() => end(child))
        }
        const [upstreamPid, balancerPid] = [join(directory, 'upstream.pid'), join(directory, 'balancer.pid')]
        await start('http-process.ts', upstreamPid, [
          'upstream-1',
          upstream.address,
          String(upstream.port),
          upstreamPid,
        ])
        await start('balancer-process.ts', balancerPid, [
          balancer.address,
          String(balancer.port),
          balancerPid,
          `${labSites.balanced}=${pool.join(',')}`,
        ])
      },
    }
  })
}

/** Starts what `build` describes on a ground of its own. What was started is ended again where something fails. */
export async function assemble(directory: string, build: (ground: Ground) => Promise<Build>): Promise<Lab> {
  await using stack = new AsyncDisposableStack()
  stack.defer(() => rm(directory, { recursive: true, force: true }))
  const ground = stack.use(await layOut(directory))
  const { servers, entry, control, startOthers } = await build(ground)
  stack.defer(async () => {
    await Promise.all(servers.map((server) => server.stop()))
  })
  // All of them, also where one fails: what is still starting could not be ended.
  const started = await Promise.allSettled([...servers.map((server) => server.start()), startOthers(stack)])
  for (const each of started) if (each.status === 'rejected') throw each.reason
  const addresses = namedByDns(ground).map(({ address }) => address)
  const names = await startNames(ground.names.address, ground.names.port, new Map([[labSites.dns, addresses]]))
  stack.defer(() => names.close())
  const fleetFile = join(directory, 'onecert.yaml')
  await writeFile(fleetFile, fleetText(ground, entry, control))
  const kept = stack.move()
  return {
    directory,
    fleetFile,
    stateDirectory: join(directory, 'state'),
    servers,
    balancer: ground.balancer,
    names: ground.names,
    stop: () => kept.disposeAsync(),
  }
}

function embeddedServer(spot: Spot, { upstream }: Ground): LabServer {
  const pidFile = join(spot.directory, 'pid')
  let child: ChildProcess | null = null
  return {
    ...spot,
    async start() {
      const current = join(spot.directory, 'www', 'current')
      const proxied = spot.name === 'edge' ? [`http://${upstream.address}:${upstream.port}`] : []
      const words = [spot.name, spot.address, String(spot.port), current, pidFile, ...proxied]
      child = await startProcess('tls-process.ts', words, pidFile)
    },
    async stop() {
      if (child) await end(child)
    },
    async breakCertificate() {
      await putStranger(spot, 'rogue')
      process.kill(Number(await readFile(pidFile, 'utf8')), 'SIGHUP')
    },
  }
}

async function startProcess(file: string, words: readonly string[], pidFile: string): Promise<ChildProcess> {
  // detached: a Ctrl-C in the terminal is for us, and we end them in order. Where we die, their stdin closes.
  const child = spawn(process.execPath, [new URL(file, import.meta.url).pathname, ...words], {
    stdio: ['pipe', 'ignore', 'inherit'],
    detached: true,
  })
  const until = Date.now() + startTimeoutMs
  while (!existsSync(pidFile)) {
    if (child.exitCode !== null || Date.now() > until) {
      await end(child)
      throw new Error(`a process of the lab did not start: ${child.spawnargs.join(' ')}`)
    }
    await sleep(20)
  }
  return child
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill()
  await gone
}
