import { open } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { makeProbe, type PlaceProbed, type ProbeSettings, parsePlace } from '../../actions/probe.ts'
import { listProgress, probeList } from '../../actions/probe-list.ts'
import { openOutput, readDone, standardOutput } from '../../actions/probe-output.ts'
import type { Probed, Verdict } from '../../audit/probed.ts'
import { systemClock } from '../../base/clock.ts'
import { explainRead } from '../../base/durable.ts'
import { fail, OnecertError, quote, retold, systemCode } from '../../base/errors.ts'
import { parseDuration } from '../../fleet/duration.ts'
import type { KeyKind, ProxyProtocol, Starttls } from '../../fleet/fleet.ts'
import { endpointText } from '../../observe/endpoint.ts'
import { starttlsKinds } from '../../observe/preamble.ts'
import { counted, instant, listed } from '../../pki/text.ts'
import { keepHeapSmall } from '../heap.ts'
import { showListProgress } from '../list-progress.ts'
import { daysText, wholeNumber } from '../numbers.ts'
import type { GlobalOptions } from '../settings.ts'
import { describe, printJson, type Shell, usageExit } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

interface Options {
  readonly name?: string
  readonly starttls?: Starttls
  readonly proxyProtocol?: ProxyProtocol
  readonly keyKind?: KeyKind
  readonly withoutSni?: boolean
  readonly tickets?: boolean
  readonly timeout: number
  readonly resolver?: string[]
  readonly from?: string
  readonly out?: string
  readonly resume?: boolean
  readonly concurrency: number
}

const defaultPorts: Readonly<Record<string, number>> = {
  smtp: 25,
  imap: 143,
  pop3: 110,
  postgres: 5432,
  ldap: 389,
  ftp: 21,
  mysql: 3306,
  xmpp: 5222,
}
const timeoutRangeMs = { min: 100, max: 120_000 }

export function probeCommand(program: Command, shell: Shell): void {
  const command = program
    .command('probe')
    .argument('[address...]', 'ADDRESS, ADDRESS:PORT or [ADDRESS]:PORT; of a host name, all its addresses')
    .option('--name <name>', 'the host name to ask for; default: the host name itself')
    .addOption(new Option('--starttls <kind>', 'TLS begins inside of this protocol').choices(starttlsKinds))
    .addOption(new Option('--proxy-protocol <version>', 'say the header of a balancer first').choices(['v1', 'v2']))
    .addOption(
      new Option('--key-kind <kind>', 'as a client that takes only such certificates').choices(['ecdsa', 'rsa']),
    )
    .option(
      '--without-sni',
      'send no host name, as clients that know only the address; the leaf has to cover it all the same',
    )
    .option('--tickets', 'tell also how long session tickets are good for: a whole handshake more')
    .addOption(new Option('--timeout <duration>', 'for each address').argParser(timeout).default(5_000, '5s'))
    .option('--resolver <address...>', 'ask these for addresses (default: those of this machine)')
    .option('--from <file>', 'a list, one a line: ADDRESS[:PORT] and perhaps NAME, or a JSON object; - is stdin')
    .option('--out <file>', 'where the results of a list go, one JSON object a line (default: stdout)')
    .option('--resume', 'go on with what --out has already')
    .addOption(
      new Option('--concurrency <number>', 'lines of a list at the same time')
        .argParser(wholeNumber(1, 4_096))
        .default(256),
    )
    .summary('look at any address with a fresh handshake, without a fleet file')
    .description(
      'Makes a full handshake with each address and tells what it serves: the leaf, whether it covers the name, whether the chain builds from the served bytes alone. The server proves that it holds the key. With --from, a list of any length.',
    )
  describe(
    command,
    [
      'onecert probe 192.0.2.11:443 --name www.domain.example',
      'onecert probe www.domain.example',
      'onecert probe mail.domain.example:25 --starttls smtp',
      'onecert probe --from list.txt --name www.domain.example --out results.ndjson',
    ],
    [
      { status: 1, when: 'something is wrong: expired, for another name, an incomplete chain' },
      { status: 2, when: 'nothing wrong was seen, but something could not be looked at' },
      usageExit,
      { status: 65, when: 'the list is not there' },
      { status: 75, when: 'interrupted: run the command again' },
    ],
  ).action((addresses: string[], options: Options) => {
    const { from } = options
    if ((from === undefined) === (addresses.length === 0))
      fail('USAGE', {
        what: from === undefined ? 'there is nothing to look at' : 'a list and addresses were given',
        next: 'onecert probe ADDRESS:PORT --name NAME, or onecert probe --from FILE',
      })
    return from === undefined ? one(addresses, options) : many(from, options)
  })

  async function one(addresses: readonly string[], options: Options): Promise<void> {
    const { terminal, signal } = shell
    if (options.out !== undefined || options.resume)
      fail('USAGE', { what: '--out and --resume belong to a list', next: 'onecert probe --from FILE --out FILE' })
    shell.stopping = 'nothing was changed'
    const places = addresses.map((text) => ({ input: text, place: parsePlace(text, options.name, portOf(options)) }))
    const probe = makeProbe(settingsOf(options), systemClock)
    const probed = await Promise.all(
      places.map(async ({ input, place }) => ({ input, ...(await probe(place, signal)) })),
    )
    const has = (verdict: Verdict) => probed.some((each) => each.verdict === verdict)
    shell.exit = has('wrong') ? 1 : has('unseen') ? 2 : 0
    if (command.optsWithGlobals<GlobalOptions>().json) printJson(terminal, { probes: probed })
    else for (const each of probed) print(each, options, terminal)
  }

  async function many(from: string, options: Options): Promise<void> {
    const { terminal, signal } = shell
    const { name, out, resume = false, concurrency } = options
    if (resume && out === undefined)
      fail('USAGE', { what: '--resume needs to know what is done already', next: 'name it: --out FILE --resume' })
    shell.stopping = 'what is done is written, what was begun is left out'
    keepHeapSmall()
    const { input, bytes } = await openList(from)
    const done = resume && out !== undefined ? await readDone(out) : null
    const output = out === undefined ? standardOutput() : await openOutput(out, { resume })
    const progress = listProgress(done)
    const shown = showListProgress(progress, bytes, () => performance.now())
    try {
      const probe = makeProbe(settingsOf(options), systemClock)
      const settings = { input, write: output.write, probe, port: portOf(options), concurrency, done, progress }
      await probeList({ ...settings, ...(name !== undefined && { name }) }, signal).finally(output.close)
    } catch (error) {
      // A reader that went away (| head) is no failure of ours.
      if (systemCode(error) === 'EPIPE') return
      if (!(error instanceof OnecertError && error.code === 'INTERRUPTED')) throw error
      throw retold(error, {
        fact: shown.summary(),
        state: out === undefined ? 'what is done was written' : `${out} has what is done`,
        next:
          out === undefined
            ? 'to be able to go on another time: onecert probe --from FILE --out FILE'
            : 'run the same command with --resume',
      })
    } finally {
      shown.stop()
    }
    const { wrong, unseen, bad } = progress.counts
    shell.exit = wrong > 0 ? 1 : unseen + bad > 0 ? 2 : 0
    terminal.err(shown.summary())
  }
}

function timeout(text: string): number {
  const durationMs = parseDuration(text)
  if (durationMs !== null && durationMs >= timeoutRangeMs.min && durationMs <= timeoutRangeMs.max) return durationMs
  throw new InvalidArgumentError('a duration from 100ms to 120s is wanted, such as 5s.')
}

function portOf({ starttls }: Options): number {
  return defaultPorts[starttls ?? ''] ?? 443
}

function settingsOf(options: Options): ProbeSettings {
  const {
    starttls,
    proxyProtocol,
    keyKind,
    withoutSni,
    tickets,
    timeout: timeoutMs,
    resolver: resolvers = [],
  } = options
  return {
    timeoutMs,
    resolvers,
    ...(starttls && { starttls }),
    ...(proxyProtocol && { proxyProtocol }),
    ...(keyKind && { keyKind }),
    ...(withoutSni && { withoutSni }),
    ...(tickets && { tickets }),
  }
}

/** @throws OnecertError INPUT_* */
async function openList(from: string): Promise<{ input: Readable; bytes: number | null }> {
  if (from === '-') return { input: process.stdin, bytes: null }
  try {
    const file = await open(from)
    const facts = await file.stat()
    if (facts.isDirectory()) fail('INPUT_NOT_A_FILE', { what: `${from} is a directory, not a list` })
    return { input: file.createReadStream(), bytes: facts.isFile() ? facts.size : null }
  } catch (error) {
    throw await explainRead(error, from)
  }
}

function print(
  { input, endpoints, problem }: PlaceProbed & { readonly input: string },
  options: Options,
  terminal: Terminal,
): void {
  if (problem) printProblem(problem, `${terminal.style('yellow', 'unseen')}  ${quote(input)}`, terminal)
  for (const each of endpoints) printEndpoint(each, options, terminal)
}

const styles: Record<Verdict, 'green' | 'red' | 'yellow'> = { ok: 'green', wrong: 'red', unseen: 'yellow' }

/** What is wrong stands above all else: a tired person reads no further. */
function printEndpoint(probed: Probed, { withoutSni }: Options, terminal: Terminal): void {
  const { verdict, problems, leaf, chain, session, ticketLifetimeSeconds: lifetime } = probed
  terminal.out(
    `${terminal.style([styles[verdict], 'bold'], verdict.padEnd(6))}  ${endpointText(probed)}${withoutSni ? ', without SNI' : ''}`,
  )
  for (const problem of problems) printProblem(problem, '', terminal)
  const fact = (title: string, text: string) => terminal.out(`  ${title.padEnd(8)} ${text}`)
  if (leaf && chain) {
    fact('leaf', quote(leaf.subject, 200))
    fact('names', listed([...leaf.names, ...leaf.addresses].map((name) => quote(name))))
    fact('valid', `${instant(leaf.notBeforeMs)} to ${instant(leaf.notAfterMs)}, ${daysText(leaf.daysLeft)}`)
    fact('sha256', leaf.fingerprint)
    fact('key', `${leaf.keyType}, SPKI pin ${leaf.spki}`)
    fact('issuer', quote(leaf.issuer, 200))
    fact(
      'chain',
      chain.subjects.map((each, at) => `${quote(each)} (${chain.fingerprints[at]?.slice(0, 8)})`).join(' ← '),
    )
    fact('', chainText(chain))
  }
  if (session) {
    const { version, cipher, group, alpn } = session
    fact('tls', [version.replace('v', ' '), cipher, group, alpn && quote(alpn)].filter(Boolean).join(' · '))
    fact('beside', besideText(session))
    if (lifetime !== undefined) fact('tickets', ticketsText(lifetime))
    if (session.wayReason !== null) fact('by', `node:tls: ${quote(session.wayReason, 200)}`)
  }
  if (probed.proof) fact('proof', 'it signed this handshake: it holds the private key')
  terminal.out('')
}

function printProblem({ code, failure }: OnecertError, before: string, terminal: Terminal): void {
  if (before !== '') terminal.out(before)
  terminal.out(`  ${terminal.style('bold', code)}: ${failure.what}`)
  if (failure.fact) terminal.out(`    ${failure.fact}`)
  if (failure.next) terminal.out(`    next: ${failure.next}`)
}

/** What comes along with the certificate. */
function besideText({ ocspStaple, scts }: NonNullable<Probed['session']>): string {
  if (ocspStaple === null) return 'an OCSP response or SCTs were not looked for'
  return `${ocspStaple ? 'an OCSP response' : 'no OCSP response'}, ${scts ? counted(scts, 'SCT') : 'no SCT'}`
}

function ticketsText(lifetimeSeconds: number | null): string {
  if (lifetimeSeconds === null) return 'it gives none'
  return lifetimeSeconds === 0 ? 'good for as long as the client likes' : `good for ${lifetimeSeconds} s`
}

function chainText({ complete, publicRoot }: NonNullable<Probed['chain']>): string {
  if (!complete) return 'does not build from the served bytes alone'
  return `builds from the served bytes alone, ${publicRoot ? 'up to a public root' : 'but to no public root: a CA of its own'}`
}
