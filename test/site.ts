import { type ChildProcess, spawn } from 'node:child_process'
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { handshake } from '../src/observe/handshake.ts'
import { type Onecert, onecert } from './onecert.ts'

/** A few embedded TLS servers on loopback, behind `local: true`, with a fleet file: the smallest whole site. */
export interface Site extends AsyncDisposable {
  readonly directory: string
  readonly run: Onecert
  readonly servers: readonly SiteServer[]
  /** Rewrites the fleet file with other settings. */
  configure(settings: SiteSettings): Promise<void>
}

export interface SiteServer {
  readonly name: string
  readonly address: string
  readonly port: number
  readonly base: string
  readonly pidFile: string
  readonly process: ChildProcess
  /** SHA-256 of the leaf that it serves now. */
  served(): Promise<string>
  /** The leaf that lies on disk; throws where key and certificate do not belong together. */
  onDisk(): Promise<string>
}

export interface SiteSettings {
  readonly confirmSeconds?: number
  readonly licence?: number
  /** argv of the reload, with PIDFILE in place of the file; default: a HUP. */
  readonly reload?: readonly string[]
  readonly test?: readonly string[]
  readonly canary?: number
  readonly wave?: string
}

const siteName = 'www.lab.example'

let lastOctet = 10

export async function startSite(count: number, settings: SiteSettings = {}): Promise<Site> {
  const directory = await mkdtemp(join(tmpdir(), 'onecert-test-'))
  await writeFile(join(directory, 'reload'), 'kill -HUP "$(cat "$1")"\n')
  const fleetFile = join(directory, 'onecert.yaml')
  const servers: SiteServer[] = []
  for (let at = 1; at <= count; at++) servers.push(await startServer(directory, `web-${at}`))
  const site: Site = {
    directory,
    servers,
    run: onecert(fleetFile, join(directory, 'state')),
    configure: (changed) => writeFile(fleetFile, fleetText(directory, servers, changed)),
    async [Symbol.asyncDispose]() {
      await Promise.all(servers.map(({ process: child }) => end(child)))
      await rm(directory, { recursive: true, force: true })
    },
  }
  await site.configure(settings)
  const { exit, stderr } = await site.run('init')
  if (exit !== 0) throw new Error(stderr)
  return site
}

async function startServer(directory: string, name: string): Promise<SiteServer> {
  const home = join(directory, name)
  await mkdir(home)
  // One test process has its own net: its id keeps files that run at once apart.
  const address = `127.${100 + (process.pid % 100)}.${Math.floor(process.pid / 100) % 250}.${lastOctet++}`
  const port = 8443
  const pidFile = join(home, 'pid')
  const current = join(home, 'www', 'current')
  const entry = new URL('../src/lab/tls-process.ts', import.meta.url).pathname
  const child = spawn(process.execPath, [entry, name, address, String(port), current, pidFile], {
    stdio: ['pipe', 'ignore', 'ignore'],
  })
  for (let waited = 0; !existsSync(pidFile); waited += 20) {
    if (waited > 10_000) throw new Error(`${name} did not start`)
    await sleep(20)
  }
  return {
    name,
    address,
    port,
    base: join(home, 'www'),
    pidFile,
    process: child,
    async served() {
      const { chain } = await handshake({ address, port, name: siteName }, { timeoutMs: 5_000 })
      return chain[0] ?? ''
    },
    async onDisk() {
      const leaf = new X509Certificate(await readFile(join(current, 'fullchain.pem')))
      const key = createPrivateKey(await readFile(join(current, 'privkey.pem')))
      if (!createPublicKey(key).equals(leaf.publicKey)) throw new Error(`${name} has a mixed pair on disk`)
      return leaf.fingerprint256.replaceAll(':', '').toLowerCase()
    },
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill()
  await gone
}

function fleetText(directory: string, servers: readonly SiteServer[], settings: SiteSettings): string {
  const words = (argv: readonly string[], pidFile: string) =>
    JSON.stringify(argv.map((word) => word.replace('PIDFILE', pidFile)))
  const reload = settings.reload ?? ['/bin/sh', join(directory, 'reload'), 'PIDFILE']
  const entries = servers.map(({ name, address, port, pidFile }) => {
    const test = settings.test ? `test: ${words(settings.test, pidFile)}, ` : ''
    return (
      `  ${name}: { local: true, address: ${address}, port: ${port}, directory: ${join(directory, name)}, ` +
      `service: { command: { ${test}reload: ${words(reload, pidFile)} } } }`
    )
  })
  return `version: 1
issuers: { lab: { local-ca: { common-name: Test, lifetime: 30d } } }
certificates:
  www: { names: [${siteName}], issuer: lab${settings.licence ? `, licence: { servers: ${settings.licence} }` : ''} }
servers:
${entries.join('\n')}
sites:
  ${siteName}: { certificate: www, dns: [${servers.map(({ name }) => name).join(', ')}] }
rollout: { canary: ${settings.canary ?? 1}, wave: ${settings.wave ?? '100%'}, confirm-within: ${settings.confirmSeconds ?? 20}s }
`
}
