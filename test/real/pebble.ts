import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { promisify } from 'node:util'
import { chooseEndpoint, makeDirectory, type Running, startProgram } from './running.ts'

const run = promisify(execFile)

export interface PebbleOptions {
  /** Share of good nonces that are refused all the same; default 50. */
  readonly nonceRejectPercent?: number
  /** Take every challenge for answered; default false. */
  readonly alwaysValid?: boolean
  /** It waits up to so long before it looks; default: not at all. */
  readonly sleepSeconds?: number
  /** Percent of new orders that get a valid authorization that is there already; default 0. */
  readonly authzReuse?: number
  /** Key id to HMAC key (base64url): no account without external account binding. */
  readonly eab?: Readonly<Record<string, string>>
  /** Intermediates below a root; default 1. */
  readonly chainLength?: number
  /** Chains beside the first one; default 0. */
  readonly alternateRoots?: number
  /** Where http-01 is looked for; default 5002. */
  readonly httpPort?: number
  /** Where tls-alpn-01 is looked for; default 5001. */
  readonly tlsPort?: number
  /** `address:port`; default: pebble-challtestsrv, which has a default address for every name. */
  readonly dnsServer?: string
  /** Names, with all below them, that no certificate is given for. */
  readonly blockedNames?: readonly string[]
  /** How long its certificates are valid; default 7 days. */
  readonly lifetimeSeconds?: number
}

export interface Pebble extends Running {
  readonly directoryUrl: string
  /** PEM: what its own HTTPS is checked against. */
  readonly trust: string
  /** Files of the certificate of its HTTPS, which is good for anything on its address. */
  readonly tls: { readonly certificate: string; readonly key: string }
  /** PEM of the roots of what it issues, the alternate ones last. New at each start. */
  roots(): Promise<readonly string[]>
  /** Where pebble-challtestsrv answers DNS. */
  readonly dnsAddress: string
  /** Takes the place of what the name had. */
  addA(name: string, addresses: readonly string[]): Promise<void>
  /** Of all names without one of their own; empty: they have none. */
  defaultIPv4(address: string): Promise<void>
  /** Beside the values that the name has; only clearTxt takes any away. */
  setTxt(name: string, value: string): Promise<void>
  clearTxt(name: string): Promise<void>
  /** The A query fails so. */
  failLookup(name: string): Promise<void>
}

/** An ACME CA, with pebble-challtestsrv as the DNS that it looks into. */
export async function startPebble(options: PebbleOptions = {}): Promise<Pebble> {
  const { address, port } = await chooseEndpoint({})
  const dns = await startChallengeServer(address)
  try {
    const pebble = await startCa(options, { address, port, dnsServer: options.dnsServer ?? dns.dnsAddress })
    const stop = async () => {
      await pebble.stop()
      await dns.stop()
    }
    const { dnsAddress, addA, defaultIPv4, setTxt, clearTxt, failLookup } = dns
    return {
      ...pebble,
      ...{ dnsAddress, addA, defaultIPv4, setTxt, clearTxt, failLookup },
      stop,
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await dns.stop()
    throw error
  }
}

type Ca = Running & Pick<Pebble, 'directoryUrl' | 'trust' | 'tls' | 'roots'>

async function startCa(
  options: PebbleOptions,
  { address, port, dnsServer }: { address: string; port: number; dnsServer: string },
): Promise<Ca> {
  const directory = await makeDirectory('pebble')
  const management = await chooseEndpoint({ address })
  const tls = await writeOwnCertificate(directory, address)
  const pebble = {
    listenAddress: `${address}:${port}`,
    managementListenAddress: `${address}:${management.port}`,
    certificate: tls.certificate,
    privateKey: tls.key,
    httpPort: options.httpPort ?? 5002,
    tlsPort: options.tlsPort ?? 5001,
    ocspResponderURL: '',
    externalAccountBindingRequired: options.eab !== undefined,
    externalAccountMACKeys: options.eab ?? {},
    domainBlocklist: options.blockedNames ?? [],
    certificateValidityPeriod: options.lifetimeSeconds ?? 604_800,
  }
  await writeFile(join(directory, 'pebble.json'), JSON.stringify({ pebble }))
  const environment = {
    ...(options.sleepSeconds === undefined ? { PEBBLE_VA_NOSLEEP: 1 } : { PEBBLE_VA_SLEEPTIME: options.sleepSeconds }),
    PEBBLE_VA_ALWAYS_VALID: options.alwaysValid ? 1 : 0,
    PEBBLE_WFE_NONCEREJECT: options.nonceRejectPercent ?? 50,
    PEBBLE_AUTHZREUSE: options.authzReuse ?? 0,
    PEBBLE_CHAIN_LENGTH: options.chainLength ?? 1,
    PEBBLE_ALTERNATE_ROOTS: options.alternateRoots ?? 0,
  }
  const running = await startProgram({
    argv: inForeground(environment, ['pebble', '-config', 'pebble.json', '-dnsserver', dnsServer]),
    address,
    port,
    directory,
    pidFile: join(directory, 'pid'),
  })
  const trust = await readFile(tls.certificate, 'utf8')
  const roots = () =>
    Promise.all(
      Array.from({ length: 1 + (options.alternateRoots ?? 0) }, (_, number) =>
        fetchText(`https://${address}:${management.port}/roots/${number}`, trust),
      ),
    )
  return { ...running, directoryUrl: `https://${address}:${port}/dir`, trust, tls, roots }
}

/** A self-signed one: it is its own root. */
async function writeOwnCertificate(directory: string, address: string): Promise<Pebble['tls']> {
  const tls = { certificate: join(directory, 'tls.pem'), key: join(directory, 'tls.key') }
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const subject = ['-subj', '/CN=pebble', '-addext', `subjectAltName=IP:${address},DNS:localhost`]
  await run('openssl', [
    'req',
    '-x509',
    '-days',
    '30',
    ...curve,
    ...subject,
    '-keyout',
    tls.key,
    '-out',
    tls.certificate,
  ])
  return tls
}

/** Neither program writes a pid file, which is what a start is waited for by. */
function inForeground(
  environment: Readonly<Record<string, number>>,
  argv: readonly string[],
): readonly [string, ...string[]] {
  const variables = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  return ['/bin/sh', '-c', 'echo $$ >pid; exec env "$@"', 'sh', ...variables, ...argv]
}

function fetchText(url: string, trust: string): Promise<string> {
  return new Promise((resolve, reject) => {
    request(url, { ca: trust }, (answer) => {
      if (answer.statusCode === 200) text(answer).then(resolve, reject)
      else reject(new Error(`${url}: ${answer.statusCode}`))
    })
      .once('error', reject)
      .end()
  })
}

type ChallengeServer = Running &
  Pick<Pebble, 'dnsAddress' | 'addA' | 'defaultIPv4' | 'setTxt' | 'clearTxt' | 'failLookup'>

async function startChallengeServer(address: string): Promise<ChallengeServer> {
  const directory = await makeDirectory('challtestsrv')
  const { port } = await chooseEndpoint({ address })
  const dnsAddress = `${address}:${(await chooseEndpoint({ address })).port}`
  const off = ['-http01', '', '-https01', '', '-tlsalpn01', '']
  const listen = ['-dns01', dnsAddress, '-management', `${address}:${port}`]
  const defaults = ['-defaultIPv4', '127.0.0.1', '-defaultIPv6', '']
  const running = await startProgram({
    argv: inForeground({}, ['pebble-challtestsrv', ...off, ...listen, ...defaults]),
    address,
    port,
    directory,
    pidFile: join(directory, 'pid'),
  })
  const tell = async (verb: string, body: unknown) => {
    const answer = await fetch(`http://${address}:${port}/${verb}`, { method: 'POST', body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(`pebble-challtestsrv ${verb}: ${answer.status} ${await answer.text()}`)
  }
  const host = (name: string) => `${name.replace(/\.$/, '')}.`
  return {
    ...running,
    dnsAddress,
    addA: async (name, addresses) => {
      await tell('clear-a', { host: host(name) })
      await tell('add-a', { host: host(name), addresses })
    },
    defaultIPv4: (ip) => tell('set-default-ipv4', { ip }),
    setTxt: (name, value) => tell('set-txt', { host: host(name), value }),
    clearTxt: (name) => tell('clear-txt', { host: host(name) }),
    failLookup: (name) => tell('set-servfail', { host: host(name) }),
  }
}
