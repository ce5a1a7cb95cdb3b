import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Haproxy, writeHaproxy } from './haproxy.ts'
import { assemble, type Lab, type LabServer } from './lab.ts'
import { writeNginx } from './nginx.ts'
import { requirePackages } from './packages.ts'
import { endAtHome, type Program, type RunningProgram, type Software, startProgram } from './program.ts'
import { makeHostKey, makeKey, type SshdFiles, writeSshd } from './sshd.ts'
import { putStranger } from './stranger.ts'
import { balanced, type Ground, labSites, type Place, type Spot } from './topology.ts'

const run = promisify(execFile)
const commandTimeoutMs = 30_000
const graceMs = 2_000

/** A server with its files written, and nothing started. */
interface Equipped {
  readonly spot: Spot
  readonly kind: 'nginx' | 'haproxy'
  readonly service: Software | Haproxy
  readonly sshd: SshdFiles
  readonly hostKey: string
}

/**
 * Starts the same lab with nginx, HAProxy and one sshd for each server, all as the running account.
 * @throws Error where software is missing, with the command that installs it
 */
export function startRealLab(directory: string): Promise<Lab> {
  return assemble(directory, async (ground) => {
    requirePackages()
    const clientKey = join(directory, 'client')
    await makeKey(clientKey, 'ed25519')
    const equipped = await Promise.all(ground.servers.map((spot) => equip(spot, ground, clientKey)))
    const place = await folder(directory, 'balancer')
    const balancer = await writeHaproxy(place, passThrough(ground))
    return {
      servers: equipped.map(realServer),
      entry: (spot) => entryOf(spot, equipped, clientKey),
      control: `{ local: true, haproxy: { socket: ${balancer.socket}, backend: ${cluster} } }`,
      async startOthers(stack) {
        const { address, port } = ground.upstream
        const upstream = await folder(directory, 'upstream')
        const answer = `  server { listen ${address}:${port}; location / { default_type text/plain; return 200 "upstream-1\\n"; } }`
        const nginx = await startProgram({
          ...(await writeNginx(upstream, { servers: [answer] })),
          ...ground.upstream,
          directory: upstream,
        })
        stack.defer(() => nginx.stop(graceMs))
        const haproxy = await startProgram({ ...balancer, ...ground.balancer, directory: place })
        stack.defer(() => haproxy.stop(graceMs))
      },
    }
  })
}

async function folder(directory: string, name: string): Promise<string> {
  const path = join(directory, name)
  await mkdir(path)
  return path
}

async function equip(spot: Spot, ground: Ground, clientKey: string): Promise<Equipped> {
  const { directory, address, sshPort } = spot
  const kind = spot.name === 'edge' ? 'haproxy' : 'nginx'
  const current = join(directory, 'www', 'current')
  const service =
    kind === 'haproxy'
      ? await writeHaproxy(directory, terminating(spot, current, ground.upstream))
      : await writeNginx(directory, { servers: [serving(spot, current)] })
  // Neither starts without a certificate: as on a new server, there is one that nobody trusts.
  await putStranger(spot, 'placeholder')
  const hostKey = await makeHostKey(directory, 'ed25519')
  const authorizedKeys = join(directory, 'authorized_keys')
  await writeFile(authorizedKeys, await readFile(`${clientKey}.pub`))
  const place = { address, port: sshPort }
  const sshd = await writeSshd(directory, { ...place, hostKeys: [hostKey], authorizedKeys, home: directory })
  return { spot, kind, service, sshd, hostKey: hostKey.fingerprint }
}

function realServer({ spot, service, sshd }: Equipped): LabServer {
  const { directory, address, port, sshPort } = spot
  let running: readonly RunningProgram[] = []
  return {
    ...spot,
    async start() {
      const programs: Program[] = [
        { ...service, directory, address, port },
        { ...sshd, directory, address, port: sshPort },
      ]
      for (const program of programs) running = [...running, await startProgram(program)]
    },
    async stop() {
      // The sshd first: what is logged in might start the service again.
      for (const program of [...running].reverse()) {
        await program.stop(graceMs)
        await endAtHome(directory)
      }
      running = []
    },
    async breakCertificate() {
      await putStranger(spot, 'rogue')
      const [program = '', ...words] = service.reload
      await run(program, words, { timeout: commandTimeoutMs })
    },
  }
}

function entryOf(spot: Spot, equipped: readonly Equipped[], clientKey: string): readonly string[] {
  const found = equipped.find((each) => each.spot.name === spot.name)
  if (!found) throw new Error(`no server ${spot.name}`)
  const { kind, service, hostKey } = found
  const { test, reload, start } = service
  const socket = 'socket' in service ? { socket: service.socket } : {}
  const destination = `${userInfo().username}@${spot.address}`
  return [
    `ssh: { destination: "${destination}", port: ${spot.sshPort}, identity: ${clientKey}, sudo: false }`,
    `host-key: "${hostKey}"`,
    `service: { ${kind}: ${JSON.stringify({ test, reload, start, ...socket })} }`,
  ]
}

function serving({ name, address, port }: Spot, current: string): string {
  return `  server {
    listen ${address}:${port} ssl;
    server_name ${Object.values(labSites).join(' ')};
    ssl_certificate ${current}/fullchain.pem;
    ssl_certificate_key ${current}/privkey.pem;
    location / { default_type text/plain; return 200 "${name} for $host\\n"; }
  }`
}

function terminating({ name, address, port }: Spot, current: string, upstream: Place): string {
  return `frontend tls
  bind ${address}:${port} ssl crt ${current}/combined.pem
  default_backend app
backend app
  http-response set-header via ${name}
  server upstream-1 ${upstream.address}:${upstream.port}
`
}

const cluster = 'cluster'

/** By the server name of the ClientHello, untouched; a member that refuses is passed over at once. */
function passThrough(ground: Ground): string {
  const { address, port } = ground.balancer
  const members = balanced(ground).map((member) => `  server ${member.name} ${member.address}:${member.port}`)
  return `frontend passthrough
  mode tcp
  bind ${address}:${port}
  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend ${cluster} if { req.ssl_sni -i ${labSites.balanced} }
backend ${cluster}
  mode tcp
  balance roundrobin
  option redispatch 1
${members.join('\n')}
`
}
