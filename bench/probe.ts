import { execFile, spawn } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { testPackages } from '../test/packages.ts'
import { type CertificateFiles, writeCertificate } from '../test/real/certificate.ts'
import { startNginx } from '../test/real/nginx.ts'
import { makeDirectory } from '../test/real/running.ts'
import type { Trial } from './bench.ts'
import { median, rounded } from './comparison.ts'

const run = promisify(execFile)
const name = 'www.lab.example'
const endpoints = 1_000
/** nmap knows this one as a port of TLS. */
const ports = { 'TLS 1.3': 8443, 'TLS 1.2': 9001 } as const
/** The service has one core, the client the other. */
const cores = { server: 0, client: 1 }
const parallel = 256
const listProbes = process.env.LONG ? 1_000_000 : 50_000
const timeoutMs = 3_600_000
const peers = join(import.meta.dirname, 'peers')

type Protocol = keyof typeof ports

/** What a client measured of itself after its warm-up. */
interface Figures {
  readonly probes: number
  readonly failed: number
  readonly seconds: number
  readonly cpuSeconds: number
  /** Of ours only: what others need is no matter here. */
  readonly rssBytes?: number
  /** SHA-256 of the leaf that it saw last: speed without it counts nothing. */
  readonly leaf: string
}

interface Client {
  readonly client: string
  readonly protocols: readonly Protocol[]
  readonly probes: number
  readonly run: (port: number, probes: number) => Promise<Figures>
}

const both = ['TLS 1.3', 'TLS 1.2'] as const

/**
 * Handshakes with 1,000 endpoints of one nginx, by our prober and by what others use for the same. All have the same list
 * and the same endpoints; the slow ones have fewer turns. Then a list through `onecert probe --from`.
 */
export const probe: Trial = {
  name: 'probe',
  runs: 1,
  packages: [
    ...testPackages,
    { name: 'gcc', reason: 'peers in C' },
    { name: 'libc6-dev', reason: 'the same' },
    { name: 'libssl-dev', reason: 'a peer: libssl' },
    { name: 'python3', reason: 'a peer: its ssl module' },
    { name: 'nmap', reason: 'a peer: its script ssl-cert' },
  ],
  columns: [
    { title: 'client', text: true },
    { title: 'protocol', text: true },
    { title: 'probes' },
    { title: 'probes/s' },
    { title: 'ours by it' },
    { title: 'client CPU, µs/probe' },
    { title: 'it by ours' },
    { title: 'memory, MiB' },
  ],
  async *tries(runs, say) {
    const directory = await makeDirectory('bench')
    try {
      const files = await writeCertificate(directory, [name])
      say(`nginx at ${endpoints} addresses; compiling the peers`)
      const list = await writeList(directory)
      await using _nginx = await startEndpoints(files)
      const clients = await makeClients(directory, list, files)
      for (const protocol of both) {
        const figures = new Map<string, Figures[]>(clients.map(({ client }) => [client, []]))
        for (let round = 1; round <= runs; round++) {
          for (const { client, protocols, probes, run } of clients) {
            if (!protocols.includes(protocol)) continue
            say(`${protocol}: ${client}, ${probes} probes, round ${round} of ${runs}`)
            figures.get(client)?.push(checked(client, await run(ports[protocol], probes), files))
          }
        }
        const ours = summary(figures.get('onecert') ?? [])
        for (const [client, all] of figures) if (all.length > 0) yield row(client, protocol, summary(all), ours)
      }
      say(`onecert probe --from, ${listProbes} lines`)
      yield await throughList(directory, list)
    } finally {
      await rm(directory, { recursive: true, force: true })
    }
  },
}

async function writeList(directory: string): Promise<string> {
  const list = join(directory, 'addresses')
  await writeFile(list, `${addresses().join('\n')}\n`)
  return list
}

function addresses(): string[] {
  return Array.from({ length: endpoints }, (_, at) => `127.77.${Math.floor(at / 250)}.${1 + (at % 250)}`)
}

/** One worker on one core. Both protocols have the same key, each a port of its own. */
function startEndpoints({ chain, key }: CertificateFiles) {
  const listens = (port: number) => addresses().map((address) => `listen ${address}:${port} ssl;`)
  const [address = '', ...others] = addresses()
  const newer = ports['TLS 1.3']
  return startNginx({
    address,
    port: newer,
    sites: [{ names: [name], chain, key }],
    serverLines: ['ssl_protocols TLSv1.3;', ...others.map((each) => `listen ${each}:${newer} ssl;`)],
    httpBlockLines: [
      `server { ${listens(ports['TLS 1.2']).join(' ')} server_name ${name}; ssl_protocols TLSv1.2; ssl_certificate ${chain}; ssl_certificate_key ${key}; }`,
    ],
    mainLines: [
      `worker_cpu_affinity ${(1 << cores.server).toString(2).padStart(2, '0')};`,
      'worker_rlimit_nofile 8192;',
    ],
    connectionsMax: 2 * endpoints + 4 * parallel,
  })
}

async function makeClients(directory: string, list: string, files: CertificateFiles): Promise<Client[]> {
  const program = (name: string) => join(directory, name)
  const source = (file: string) => join(peers, file)
  const environment = { ...process.env, GOCACHE: join(directory, 'go'), GOFLAGS: '-mod=mod', GO111MODULE: 'off' }
  await run('go', ['build', '-o', program('go-client'), source('client.go')], { env: environment, timeout: timeoutMs })
  await run('gcc', ['-O2', '-o', program('libssl'), source('libssl.c'), '-lssl', '-lcrypto'])
  await run('gcc', ['-O2', '-o', program('proof12'), source('proof12.c'), '-lcrypto'])

  const measuring =
    (...argv: string[]) =>
    async (port: number, probes: number, at = parallel) => {
      const words = [list, port, name, Math.ceil(probes / 10), probes, at].map(String)
      const { stdout } = await pinned([...argv, ...words])
      return JSON.parse(stdout) as Figures
    }
  const node = (file: string) => measuring(process.execPath, source(file))
  const python = measuring('/usr/bin/python3', source('client.py'))
  const few = async (count: number) => {
    const file = join(directory, `${count}-addresses`)
    const all = addresses()
    await writeFile(file, Array.from({ length: count }, (_, at) => `${all[at % all.length]}\n`).join(''))
    return file
  }
  return [
    { client: 'onecert', protocols: both, probes: 50_000, run: node('ours.ts') },
    { client: 'node:tls', protocols: both, probes: 2_000, run: node('node-tls-naive.ts') },
    { client: 'node:tls, tuned', protocols: both, probes: 2_000, run: node('node-tls-tuned.ts') },
    { client: 'Go crypto/tls', protocols: both, probes: 50_000, run: measuring(program('go-client')) },
    { client: 'C, libssl', protocols: both, probes: 5_000, run: measuring(program('libssl')) },
    { client: 'C, signature checked', protocols: ['TLS 1.2'], probes: 50_000, run: measuring(program('proof12')) },
    { client: 'python3 ssl, 32 threads', protocols: both, probes: 3_000, run: (...of) => python(...of, 32) },
    {
      client: 'nmap ssl-cert',
      protocols: both,
      probes: 500,
      async run(port, probes) {
        const scan = `nmap -n -Pn -sT -vv --min-parallelism ${parallel} -p ${port} --script +ssl-cert -iL ${await few(probes)}`
        return outside(scan, probes, /BEGIN CERTIFICATE/g, files)
      },
    },
    {
      client: 'openssl s_client, 16 at once',
      protocols: both,
      probes: 200,
      async run(port, probes) {
        const each = `openssl s_client -connect {}:${port} -servername ${name} </dev/null 2>/dev/null`
        return outside(`xargs -P 16 -I{} sh -c '${each}' <${await few(probes)}`, probes, /BEGIN CERTIFICATE/g, files)
      },
    },
  ]
}

/** On the core of the client. */
function pinned(argv: readonly string[]) {
  return run('taskset', ['-c', String(cores.client), ...argv], { timeout: timeoutMs, maxBuffer: 64 * 1024 * 1024 })
}

/** A program that does not measure itself: bash tells its time, and that of its children. */
async function outside(command: string, probes: number, seen: RegExp, { fingerprint: leaf }: CertificateFiles) {
  const { stdout, stderr } = await pinned(['bash', '-c', `TIMEFORMAT='%R %U %S'; time { ${command}; }`])
  const [seconds = 0, user = 0, system = 0] = stderr.trim().split('\n').at(-1)?.split(' ').map(Number) ?? []
  const failed = probes - (stdout.match(seen)?.length ?? 0)
  return { probes, failed, seconds, cpuSeconds: user + system, leaf }
}

function checked(client: string, figures: Figures, { fingerprint }: CertificateFiles): Figures {
  if (figures.failed === 0 && figures.leaf === fingerprint) return figures
  throw new Error(
    `${client}: ${figures.failed} of ${figures.probes} failed; it saw ${figures.leaf}, not ${fingerprint}`,
  )
}

interface Summary {
  readonly probes: number
  readonly perSecond: number
  readonly cpuMicroseconds: number
  readonly rssMiB: number
}

function summary(all: readonly Figures[]): Summary {
  return {
    probes: all[0]?.probes ?? 0,
    perSecond: median(all.map(({ probes, seconds }) => probes / seconds)),
    cpuMicroseconds: median(all.map(({ probes, cpuSeconds }) => (cpuSeconds * 1e6) / probes)),
    rssMiB: Math.max(...all.map(({ rssBytes = 0 }) => rssBytes)) / 2 ** 20,
  }
}

/** Ratios: above 1 we are better. */
function row(client: string, protocol: string, its: Summary, ours: Summary) {
  const speed = rounded(ours.perSecond / its.perSecond)
  const cpu = rounded(its.cpuMicroseconds / ours.cpuMicroseconds)
  const [perSecond, cpuMicroseconds] = [Math.round(its.perSecond), Math.round(its.cpuMicroseconds)]
  const rssMiB = Math.round(its.rssMiB)
  return {
    cells: [client, protocol, its.probes, perSecond, speed, cpuMicroseconds, cpu, rssMiB === 0 ? '' : rssMiB],
    found: { client, protocol, probes: its.probes, perSecond, speed, cpuMicroseconds, cpu, rssMiB },
  }
}

/** The whole command with its judgement and its output. Its peak is what the kernel says of it. */
async function throughList(directory: string, list: string) {
  const lines = join(directory, 'lines')
  const out = join(directory, 'out.ndjson')
  const all = (await readFile(list, 'utf8')).trim().split('\n')
  await pipeline(function* () {
    for (let at = 0; at < listProbes; at++) yield `${all[at % all.length]}:${ports['TLS 1.3']} ${name}\n`
  }, createWriteStream(lines))
  const main = join(import.meta.dirname, '..', 'bin', 'onecert')
  // What the first start ever compiles is kept, and is none of this.
  await run(process.execPath, [main, 'probe', '--help'])
  const argv = ['-c', String(cores.client), process.execPath, main, 'probe', '--from', lines, '--out', out]
  const startedMs = performance.now()
  const child = spawn('taskset', argv, { stdio: ['ignore', 'ignore', 'inherit'] })
  const ended = new Promise<number | null>((resolve) => child.on('exit', resolve))
  let status = ''
  let exit: number | null | undefined
  ended.then((code) => {
    exit = code
  })
  while (exit === undefined) {
    // taskset becomes node: the pid is the same.
    status = (await readFile(`/proc/${child.pid}/status`, 'utf8').catch(() => '')) || status
    await sleep(100)
  }
  const seconds = (performance.now() - startedMs) / 1_000
  if (exit !== 0) throw new Error(`onecert probe --from ended with ${exit}`)
  const rssMiB = Math.round(Number(/^VmHWM:\s+(\d+) kB/m.exec(status)?.[1]) / 1_024)
  const perSecond = Math.round(listProbes / seconds)
  const client = 'onecert probe --from'
  return {
    cells: [client, 'TLS 1.3', listProbes, perSecond, '', '', '', rssMiB],
    found: { client, protocol: 'TLS 1.3', probes: listProbes, perSecond, rssMiB },
  }
}
