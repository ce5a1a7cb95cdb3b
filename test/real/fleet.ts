import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { chmod, chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stringify } from 'yaml'
import type { Listener, ProxyProtocol, ServiceKind } from '../../src/fleet/fleet.ts'
import { usualLayout } from '../../src/fleet/layout.ts'
import { handshake } from '../../src/observe/handshake.ts'
import { type Authority, createAuthority, deliver, type Order, type Sold } from '../authority.ts'
import { type Onecert, onecert } from '../onecert.ts'
import { accountIds } from './account.ts'
import { startApache } from './apache.ts'
import { startCaddy } from './caddy.ts'
import { type CertificateFiles, writeCertificate } from './certificate.ts'
import { startDovecot } from './dovecot.ts'
import { startHaproxy } from './haproxy.ts'
import { type NginxOptions, startNginx } from './nginx.ts'
import { startPostfix } from './postfix.ts'
import { startPostgresql } from './postgresql.ts'
import { makeDirectory } from './running.ts'
import type { RunningService } from './service.ts'
import { type RunningSshd, type SshdOptions, startSshd } from './sshd.ts'
import { startEnvoyLike, startTraefikLike } from './watcher.ts'

export type Kind = Exclude<ServiceKind, 'command' | 'none'>

export interface ServerOptions {
  readonly kind: Kind
  readonly sshd?: SshdOptions
  /** nginx only: answers HTTP at this port too, from a folder of its own: `webroot`. */
  readonly httpPort?: number
  /** Directives of that HTTP server; default: it serves `webroot`. */
  readonly httpLines?: readonly string[]
  /** haproxy only: a folder whose files it reads too. */
  readonly further?: string
  /** HAProxy only: its Runtime API is told to onecert. */
  readonly runtime?: boolean
  /** Behind a balancer that sends the header of the PROXY protocol. */
  readonly proxyProtocol?: ProxyProtocol
  /** Directives of the service, for what it serves. */
  readonly lines?: readonly string[]
  /** Keeps what comes over the connection, in clear, as the server sees it: `received()`. */
  readonly tapped?: boolean
}

/** A server as onecert sees it: an sshd and real software on one loopback address, with files that were there before. */
export interface RealServer {
  readonly name: string
  readonly kind: Kind
  readonly service: RunningService
  readonly proxyProtocol?: ProxyProtocol
  readonly sshd: RunningSshd
  /** Where the service's certificate lies; the service's configuration names these paths. */
  readonly paths: readonly string[]
  /** As in the fleet file. */
  readonly listeners: readonly Listener[]
  /** What its entry in the fleet file says beside the commands. */
  readonly settings: Readonly<Record<string, string>>
  /** What is served over HTTP, where that was asked for. */
  readonly webroot: string
  /** Where the generations of `www` lie. */
  readonly base: string
  /** The leaf before onecert came. */
  readonly original: string
  /** SHA-256 of the leaf that it serves now. */
  served(listener?: Listener): Promise<string>
  /** The leaf that the service's paths hold; throws where key and certificate do not belong together. */
  onDisk(): Promise<string>
  /** Of a tapped server: the commands asked for, and all bytes that came on their stdin. */
  received(): Promise<string>
}

export interface RealFleet extends AsyncDisposable {
  readonly directory: string
  readonly fleetFile: string
  readonly stateDirectory: string
  readonly run: Onecert
  readonly authority: Authority
  readonly servers: readonly RealServer[]
  server(name: string): RealServer
  /** Buys a certificate and puts it where the fleet file says that bought ones are. */
  buy(order?: Partial<Order>): Promise<Sold>
  /** Rewrites the fleet file with changes. */
  configure(change: (document: FleetDocument) => void): Promise<void>
}

/** The fleet file as data, loosely: tests write wrong ones too. */
// biome-ignore lint/suspicious/noExplicitAny: a document of any shape
export type FleetDocument = any

export const siteName = 'www.lab.example'

/** `SERVER REASON` of each finding of an audit, sorted. */
export async function audited({ run }: Pick<RealFleet, 'run'>): Promise<string[]> {
  const { stdout, stderr } = await run('audit', '--json')
  if (stdout === '') throw new Error(stderr)
  const { findings } = JSON.parse(stdout) as { findings: { server: string | null; reason: string }[] }
  return findings.map(({ server, reason }) => `${server} ${reason}`).sort()
}

export async function startFleet(options: Readonly<Record<string, Kind | ServerOptions>>): Promise<RealFleet> {
  // A web server's own account passes through it to the webroots.
  const directory = await makeDirectory('e2e')
  const fleetFile = join(directory, 'onecert.yaml')
  const authority = await createAuthority()
  const servers = await Promise.all(
    Object.entries(options).map(([name, given]) =>
      startServer(directory, name, typeof given === 'string' ? { kind: given } : given),
    ),
  )
  const bought = join(directory, 'bought')
  const document = () => fleetDocument(servers, directory, bought)
  const fleet: RealFleet = {
    directory,
    fleetFile,
    stateDirectory: join(directory, 'state'),
    run: onecert(fleetFile, join(directory, 'state')),
    authority,
    servers,
    server(name) {
      const found = servers.find((each) => each.name === name)
      if (!found) throw new Error(`no server ${name}`)
      return found
    },
    async buy(order = {}) {
      const sold = await authority.sell({ names: [siteName], ...order })
      await deliver(bought, authority, sold)
      return sold
    },
    async configure(change) {
      const changed = document()
      change(changed)
      await writeFile(fleetFile, stringify(changed))
    },
    async [Symbol.asyncDispose]() {
      for (const { service, sshd } of servers) await Promise.all([service.stop(), sshd.stop()])
      await rm(directory, { recursive: true, force: true })
    },
  }
  try {
    await fleet.configure(() => {})
    await fleet.buy()
    const { exit, stderr } = await fleet.run('init')
    if (exit !== 0) throw new Error(stderr)
    return fleet
  } catch (error) {
    // Else what was started keeps the test's process for ever.
    await fleet[Symbol.asyncDispose]()
    throw error
  }
}

interface Wanted {
  readonly files: CertificateFiles
  readonly keyFirst: string
  readonly http: NginxOptions['http']
  readonly further: ServerOptions['further']
  readonly proxyProtocol: boolean
  readonly lines: readonly string[]
  /** Where the generations will lie. */
  readonly base: string
}

const starters: Record<Kind, (wanted: Wanted) => Promise<RunningService>> = {
  nginx: ({ files, http, proxyProtocol, lines }) =>
    startNginx({ sites: sitesOf(files), proxyProtocol, serverLines: lines, ...(http && { http }) }),
  apache: ({ files, proxyProtocol, lines }) => startApache({ sites: sitesOf(files), proxyProtocol, siteLines: lines }),
  haproxy: ({ files, further, proxyProtocol, lines }) =>
    startHaproxy({
      sites: sitesOf(files),
      proxyProtocol,
      frontendLines: lines,
      ...(further !== undefined && { further }),
    }),
  caddy: async ({ files, lines }) => {
    await readableFor('caddy', files.key)
    return startCaddy({ sites: sitesOf(files), siteLines: lines })
  },
  postfix: ({ keyFirst }) => startPostfix({ name: siteName, keyFirst }),
  dovecot: ({ files }) => startDovecot(files),
  postgresql: async ({ files }) => {
    await readableFor('postgres', files.key)
    return startPostgresql(files)
  },
  envoy: ({ files, base }) => startEnvoyLike({ ...files, watched: base }),
  traefik: ({ files }) => startTraefikLike(files),
}

function sitesOf(files: CertificateFiles) {
  return [{ names: [siteName] as const, ...files }]
}

async function readableFor(account: string, key: string): Promise<void> {
  await chown(key, 0, (await accountIds(account)).gid)
  await chmod(key, 0o640)
}

async function startServer(directory: string, name: string, options: ServerOptions): Promise<RealServer> {
  const { kind } = options
  const home = join(directory, name)
  const tap = { script: join(home, 'tap'), log: join(home, 'tapped') }
  await mkdir(join(home, 'tls'), { recursive: true })
  const files = await writeCertificate(join(home, 'tls'), [siteName])
  if (options.tapped) {
    const keep = `printf '%s\\n' "$SSH_ORIGINAL_COMMAND" >>${tap.log}`
    await writeFile(tap.script, `#!/bin/sh\n${keep}\ntee -a ${tap.log} | sh -c "$SSH_ORIGINAL_COMMAND"\n`, {
      mode: 0o755,
    })
  }
  const webroot = join(home, 'webroot')
  await mkdir(webroot)
  const { httpPort, httpLines = [`root ${webroot};`] } = options
  const { proxyProtocol, lines = [] } = options
  const keyFirst = join(home, 'tls', 'key-first.pem')
  await writeFile(keyFirst, `${await readFile(files.key, 'utf8')}${await readFile(files.chain, 'utf8')}`, {
    mode: 0o600,
  })
  const base = join(home, 'onecert', 'www')
  const http = httpPort === undefined ? undefined : { port: httpPort, lines: httpLines }
  const service = await starters[kind]({
    files,
    keyFirst,
    http,
    base,
    further: options.further,
    proxyProtocol: proxyProtocol !== undefined,
    lines,
  })
  const paths = { pair: [files.chain, files.key], combined: [files.combined], 'key-first': [keyFirst] }[
    usualLayout[kind]
  ]
  const listeners = service.listeners ?? [{ port: service.port }]
  return {
    name,
    kind,
    service,
    listeners,
    settings: {
      ...service.settings,
      ...(options.runtime && 'socket' in service && { socket: String(service.socket) }),
    },
    ...(proxyProtocol && { proxyProtocol }),
    sshd: await startSshd({
      ...(options.tapped && { keyOptions: `command="${tap.script}"` }),
      ...options.sshd,
      address: service.address,
    }),
    paths,
    webroot,
    base,
    original: files.fingerprint,
    async served(listener = listeners[0] ?? service) {
      const { address } = service
      const { chain } = await handshake(
        { ...listener, address, name: siteName, ...(proxyProtocol && { proxyProtocol }) },
        { timeoutMs: 5_000 },
      )
      return chain[0] ?? ''
    },
    async onDisk() {
      const [chain, key] = await Promise.all([readFile(paths[0] ?? ''), readFile(paths.at(-1) ?? '')])
      const leaf = new X509Certificate(chain)
      if (!createPublicKey(createPrivateKey(key)).equals(leaf.publicKey)) throw new Error(`${name}: a mixed pair`)
      return leaf.fingerprint256.replaceAll(':', '').toLowerCase()
    },
    received: () => readFile(tap.log, 'latin1'),
  }
}

function fleetDocument(servers: readonly RealServer[], directory: string, bought: string): FleetDocument {
  const file = (name: string) => join(bought, name)
  return {
    version: 1,
    issuers: {
      bought: { import: { certificate: file('leaf.pem'), chain: file('chain.pem'), key: file('key.pem') } },
    },
    certificates: { www: { names: [siteName], issuer: 'bought' } },
    servers: Object.fromEntries(servers.map((server) => [server.name, serverDocument(server, directory)])),
    sites: { [siteName]: { certificate: 'www', dns: servers.map(({ name }) => name) } },
    rollout: { canary: 1, wave: '100%', 'confirm-within': '10s' },
  }
}

function serverDocument(server: RealServer, directory: string): FleetDocument {
  const { name, kind, service, sshd, paths, webroot, settings, proxyProtocol } = server
  const { start, test, reload } = service
  const own = Object.entries(service.settings ? { start } : { start, test, reload })
  const commands = Object.fromEntries(own.filter(([, argv]) => argv.length > 0).map(([key, argv]) => [key, [...argv]]))
  return {
    ssh: { destination: `${sshd.user}@${sshd.address}`, port: sshd.port, identity: sshd.clientKey },
    'host-key': sshd.hostKeys[0]?.fingerprint,
    address: service.address,
    ...(service.listeners ? { listeners: [...service.listeners] } : { port: service.port }),
    ...(proxyProtocol && { 'proxy-protocol': proxyProtocol }),
    service: { [kind]: { ...commands, ...settings } },
    directory: join(directory, name, 'onecert'),
    webroot,
    files: { www: paths.length === 1 ? { combined: paths[0] } : { chain: paths[0], key: paths[1] } },
  }
}
