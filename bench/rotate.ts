import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { Sold } from '../test/authority.ts'
import { testPackages } from '../test/packages.ts'
import { controlOf, startHaproxyBalancer } from '../test/real/balancer.ts'
import {
  type FleetDocument,
  type RealFleet,
  type RealServer,
  type ServerOptions,
  siteName,
  startFleet,
} from '../test/real/fleet.ts'
import { startLoad } from '../test/real/load.ts'
import type { Trial } from './bench.ts'
import { median, rounded } from './comparison.ts'

const run = promisify(execFile)
const between = 300
const clients = { fresh: 4, kept: 4, keptMs: 1_000, restMs: 5 }

/** One rotation: what was sold is on every server when it ends, and will be served. */
type Way = (fleet: RealFleet, sold: Sold) => Promise<void>

interface Topology {
  readonly servers: Readonly<Record<string, ServerOptions>>
  /** A HAProxy that passes TLS through stands in front. */
  readonly balanced?: true
  readonly ours: string
}

const topologies: Readonly<Record<string, Topology>> = {
  'dns, nginx': { servers: { 'eu-1': { kind: 'nginx' } }, ours: 'onecert' },
  'load-balancer, nginx': {
    servers: { 'web-1': { kind: 'nginx', proxyProtocol: 'v2' }, 'web-2': { kind: 'nginx', proxyProtocol: 'v2' } },
    balanced: true,
    ours: 'onecert, drained',
  },
  'reverse-proxy, HAProxy': { servers: { edge: { kind: 'haproxy', runtime: true } }, ours: 'onecert, Runtime API' },
}

/** New TLS connections all the time, and clients that keep theirs for a second, while the certificate is renewed again and again. */
export const rotate: Trial = {
  name: 'rotate',
  runs: process.env.LONG ? 200 : 20,
  packages: testPackages,
  columns: [
    { title: 'topology', text: true },
    { title: 'way', text: true },
    { title: 'rotations' },
    { title: 'new connections' },
    { title: 'failed' },
    { title: 'requests on kept ones' },
    { title: 'failed' },
    { title: 'new certificate after, ms' },
  ],
  async *tries(runs, say) {
    for (const [topology, { servers, balanced, ours }] of Object.entries(topologies)) {
      const ways: Readonly<Record<string, Way>> = { [ours]: byOnecert, reload: byReload, restart: byRestart }
      for (const [way, rotation] of Object.entries(ways)) {
        say(`${topology}: ${way}, ${runs} rotations`)
        await using fleet = await startFleet(servers)
        await using front = balanced
          ? await putBehindHaproxy(fleet)
          : { targets: fleet.servers.map(({ service }) => service), [Symbol.asyncDispose]: async () => {} }
        const found = { topology, way, ...(await rotated(fleet, front.targets, rotation, runs)) }
        const { rotations, fresh, kept, seenMs } = found
        yield { cells: [topology, way, rotations, ...counted(fresh), ...counted(kept), seenMs], found }
      }
    }
  },
}

async function putBehindHaproxy(fleet: RealFleet) {
  const members = fleet.servers.map(({ name, service }) => ({
    name: `s-${name}`,
    address: service.address,
    port: service.port,
  }))
  const balancer = await startHaproxyBalancer(members)
  await fleet.configure((document: FleetDocument) => {
    const { address, port } = balancer
    const servers = fleet.servers.map(({ name }) => name)
    document.sites[siteName] = {
      certificate: 'www',
      'load-balancer': { address, port, servers, control: controlOf(balancer, members) },
    }
  })
  while (!Object.values(await balancer.states()).every((state) => state === 'UP')) await sleep(50)
  return { targets: [balancer], [Symbol.asyncDispose]: () => balancer[Symbol.asyncDispose]() }
}

interface Counted {
  readonly done: number
  readonly failed: number
}

interface Rotated {
  readonly rotations: number
  readonly fresh: Counted
  readonly kept: Counted
  /** From the start of a rotation until each server shows the new certificate: the median. */
  readonly seenMs: number
}

function counted({ done, failed }: Counted): readonly [all: number, failed: number] {
  return [done + failed, failed]
}

async function rotated(
  fleet: RealFleet,
  targets: readonly { readonly address: string; readonly port: number }[],
  rotation: Way,
  rotations: number,
): Promise<Rotated> {
  let sold = await fleet.buy()
  await rotation(fleet, sold)
  for (const server of fleet.servers) await seen(server, sold)
  await using load = await startLoad({ targets, name: siteName, ...clients })
  const times: number[] = []
  for (let round = 0; round < rotations; round++) {
    await sleep(between)
    sold = await fleet.buy({ keys: sold.keys })
    const startedMs = performance.now()
    const [, ...all] = await Promise.all([rotation(fleet, sold), ...fleet.servers.map((server) => seen(server, sold))])
    times.push(Math.max(...all) - startedMs)
  }
  await sleep(between)
  const { fresh, kept } = await load.stop()
  return { rotations, fresh, kept, seenMs: rounded(median(times)) }
}

/** @returns when the server showed it first */
async function seen(server: RealServer, { fingerprint }: Sold): Promise<number> {
  for (const endMs = performance.now() + 60_000; performance.now() < endMs; await sleep(10))
    if ((await server.served().catch(() => '')) === fingerprint) return performance.now()
  throw new Error(`${server.name} does not serve the new certificate`)
}

const byOnecert: Way = async (fleet) => {
  const { exit, stderr } = await fleet.run('apply')
  if (exit !== 0) throw new Error(stderr)
}

/** What a careful script does: the files by renames, then the reload, one server after the other. */
const byReload: Way = async (fleet, sold) => {
  for (const server of fleet.servers) {
    await put(fleet, server, sold)
    await command(server.service.reload)
    await seen(server, sold)
  }
}

const byRestart: Way = async (fleet, sold) => {
  for (const server of fleet.servers) {
    await put(fleet, server, sold)
    await restart(server)
    await seen(server, sold)
  }
}

async function put({ directory }: RealFleet, { paths }: RealServer, sold: Sold): Promise<void> {
  const chain = `${sold.leafPem}${await readFile(join(directory, 'bought', 'chain.pem'), 'utf8')}`
  const texts = paths.length === 1 ? [`${chain}${sold.keyPem}`] : [chain, sold.keyPem]
  for (const [at, path] of paths.entries()) {
    await writeFile(`${path}.new`, texts[at] ?? '', { mode: 0o600 })
    await rename(`${path}.new`, path)
  }
}

/** As the units of Debian do it: nginx is asked to quit, HAProxy is terminated. */
async function restart({ kind, service }: RealServer): Promise<void> {
  const pid = Number(await readFile(join(service.directory, `${kind}.pid`), 'utf8'))
  process.kill(pid, kind === 'nginx' ? 'SIGQUIT' : 'SIGTERM')
  for (const endMs = performance.now() + 5_000; existsSync(`/proc/${pid}/exe`); await sleep(5)) {
    if (performance.now() < endMs) continue
    process.kill(pid, 'SIGTERM')
  }
  await command(service.start)
}

async function command([program = '', ...words]: readonly string[]): Promise<void> {
  await run(program, words, { timeout: 60_000 })
}
