import { mkdtemp, realpath } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, styleText } from 'node:util'
import { textOf } from '../base/errors.ts'
import { visitAll } from './client.ts'
import { type Lab, startLab } from './lab.ts'
import { count, mended, type Product, productFor, summary } from './product.ts'
import { startRealLab } from './real.ts'
import { labSites, namedByDns, type Place } from './topology.ts'

/**
 * `npm run demo [-- --once] [--real]`: the main job, on this machine, with nothing but npm's packages or, where it is
 * asked for, with nginx, HAProxy and sshd.
 */

const interruptedStatus = 130

const values = readOptions()

const interrupted = new AbortController()
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => interrupted.abort())
// A reader that went away (| head) must not leave a lab behind.
process.stdout.on('error', () => interrupted.abort())

const say = (text = '') => process.stdout.write(`${text}\n`)
const title = (text: string) => say(`\n${process.stdout.isTTY ? styleText('bold', text) : text}`)
const command = (words: string) =>
  say(process.stdout.isTTY ? styleText('cyan', `$ onecert ${words}`) : `$ onecert ${words}`)

process.exitCode = await main().catch((error: unknown) => {
  process.stderr.write(`error: ${textOf(error)}\n`)
  return 1
})

function readOptions() {
  const options = { once: { type: 'boolean', default: false }, real: { type: 'boolean', default: false } } as const
  try {
    return parseArgs({ options }).values
  } catch (error) {
    process.stderr.write(
      `error: ${error instanceof Error ? error.message : error}\n  next:  npm run demo -- --once, or --real\n`,
    )
    process.exit(64)
  }
}

async function main(): Promise<number> {
  // A link in the path of the directory would look like an attack to the receiver (macOS: /tmp).
  const directory = await mkdtemp(join(await realpath(tmpdir()), 'onecert-demo-'))
  const lab = await (values.real ? startRealLab : startLab)(directory)
  let exit = interruptedStatus
  try {
    exit = await show(lab, productFor(lab, interrupted.signal))
  } catch (error) {
    if (!interrupted.signal.aborted) throw error
  } finally {
    await lab.stop()
  }
  if (exit === interruptedStatus) process.stderr.write('interrupted; the lab is gone\n')
  return exit
}

async function show(running: Lab, product: Product): Promise<number> {
  const run = async (words: string) => {
    interrupted.signal.throwIfAborted()
    command(words)
    const { exit } = await product(words.split(' '), { show: true })
    interrupted.signal.throwIfAborted()
    return exit
  }

  title('Three topologies, 7 servers, one certificate for all of them')
  say(`  www.lab.example   round-robin DNS: eu-1, us-1, ap-1 (three places)`)
  say(`  shop.lab.example  load balancer, TLS passes through: web-1, web-2, web-3`)
  say(`  app.lab.example   reverse proxy, TLS ends there: edge (its upstream holds no key)`)
  say(`  fleet file: ${running.fleetFile}`)

  title('1. A vault for the private key, and what would happen')
  await run('init')
  await run('plan')

  title('2. Issue, carry, reload, and prove by handshake')
  if ((await run('apply')) !== 0) return 1
  await run('status')
  const first = await count(product)

  title('3. As clients see it, trusting the root of the CA only')
  const { stdout: root } = await product(['ca', 'lab'])
  for (const { site, place, answer } of await visitAll(running, root)) {
    say(`  ${site.padEnd(16)}  ${place.address}:${place.port}  answered by ${answer}`)
  }

  title('4. A forgotten script puts another certificate on one server')
  const victim = running.servers.find(({ name }) => name === 'us-1') ?? running.servers[0]
  if (!victim) return 1
  await victim.breakCertificate()
  await waitForDrift(product)
  say(`  ${victim.name} serves it now; nobody was told`)
  await run('status')
  const broken = await count(product)

  title('5. Found; now repaired')
  if ((await run('apply')) !== 0) return 1
  const repaired = await count(product)
  await run('status')
  await run('ledger verify')

  if (!values.once) await stay(running)
  const repairs = mended(broken, repaired)
  say(summary(repaired, repairs))
  const proven = first.proven === first.servers && repaired.proven === repaired.servers
  return proven && repairs > 0 && repairs === broken.drifted.length ? 0 : 1
}

/** A reload takes a moment, and a look that comes too early would still see the old certificate. */
async function waitForDrift(product: Product): Promise<void> {
  for (let tries = 0; tries < 20 && (await count(product)).drifted.length === 0; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

async function stay(running: Lab): Promise<void> {
  const { fleetFile, stateDirectory, servers, balancer, names } = running
  const words = `--fleet ${fleetFile} --state ${stateDirectory}`
  const ask = (site: string, { address, port }: Place) =>
    `curl -sk --resolve ${site}:${port}:${address} https://${site}:${port}/`
  const [first] = namedByDns(running)
  const edge = servers.find(({ name }) => name === 'edge')
  title('The lab stays up. In another terminal:')
  say(`  bin/onecert ${words} status`)
  say(`  bin/onecert ${words} renew www --force   # no private key travels`)
  say(`  bin/onecert ${words} renew www --rekey   # a new one travels to all`)
  say(`  bin/onecert ${words} ledger keys`)
  if (first) say(`  ${ask(labSites.dns, first)}`)
  say(`  ${ask(labSites.balanced, balancer)}   # another member each time`)
  if (edge) say(`  ${ask(labSites.proxied, edge)}`)
  say(
    `  openssl s_client -connect ${balancer.address}:${balancer.port} -servername ${labSites.balanced} </dev/null | ` +
      'openssl x509 -noout -subject -issuer -enddate -fingerprint -sha256',
  )
  say(`  dig +short @${names.address} -p ${names.port} ${labSites.dns}`)
  say('Ctrl-C ends it and takes everything away.')
  const alive = setInterval(() => {}, 60_000)
  await new Promise<void>((resolve) => {
    if (interrupted.signal.aborted) resolve()
    interrupted.signal.addEventListener('abort', () => resolve(), { once: true })
  })
  clearInterval(alive)
  say()
}
