import type { Command } from 'commander'
import { type Applied, apply } from '../../actions/apply.ts'
import { chosenCertificates } from '../../actions/choice.ts'
import type { Context } from '../../actions/context.ts'
import { type Rehearsed, rehearse } from '../../actions/rehearse.ts'
import { asOnecertError, OnecertError } from '../../base/errors.ts'
import { wholeNumber } from '../numbers.ts'
import { resumptionText } from '../resumption.ts'
import { configurationExit, describe, printError, printJson, type Shell, usageExit, withContext } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

interface Options {
  readonly server?: string[]
  readonly parallel: number
  readonly connectTimeout: number
}

const exits = [
  usageExit,
  { status: 65, when: 'a certificate or key has a defect: no server was touched' },
  { status: 69, when: 'the CA cannot be reached; what is there was rolled out' },
  {
    status: 75,
    when: 'partial: some servers are not proven; run it again to complete what is missing; or the CA is not asked now',
  },
  { status: 77, when: 'the CA refuses; what is there was rolled out' },
  configurationExit,
]

export function applyCommand(program: Command, shell: Shell): void {
  const command = rolloutOptions(
    program
      .command('apply')
      .argument('[certificate...]', 'only these')
      .summary('bring every server to its certificate and prove it'),
  ).description('Issues where needed, carries the certificate to every server, reloads, and proves it by handshake.')
  describe(command, ['onecert apply', 'onecert apply www --server eu-1'], exits).action(
    (certificates: string[], options: Options) =>
      withContext(shell, command, async (context, json) => {
        await runApply(shell, context, json, certificates, options, { force: false, rekey: false })
      }),
  )
}

export function renewCommand(program: Command, shell: Shell): void {
  const command = rolloutOptions(
    program
      .command('renew')
      .argument('<certificate...>', 'which')
      .option('--rekey', 'with a new private key, which then travels to every server, and new session ticket keys')
      .option('--dry-run', 'order nothing: see whether the challenges of the CA would be answered')
      .summary('issue a new certificate now and roll it out'),
  ).description(
    'Issues a new certificate although the old one would do, and rolls it out. Its key is kept inside keep-for: then no private key travels.',
  )
  describe(command, ['onecert renew www', 'onecert renew www --rekey', 'onecert renew www --dry-run'], exits).action(
    (certificates: string[], options: Options & { rekey?: boolean; dryRun?: boolean }) =>
      withContext(shell, command, async (context, json) => {
        if (options.dryRun) return runRehearsal(shell, context, json, certificates)
        await runApply(shell, context, json, certificates, options, { force: true, rekey: options.rekey ?? false })
      }),
  )
}

function rolloutOptions(command: Command): Command {
  return command
    .option('--server <name...>', 'only these servers')
    .option('--parallel <number>', 'servers at once', wholeNumber(1, 1_000), 16)
    .option('--connect-timeout <seconds>', 'for each server', wholeNumber(1, 600), 15)
}

async function runRehearsal(
  { terminal }: Shell,
  context: Context,
  json: boolean,
  certificates: readonly string[],
): Promise<void> {
  const rehearsed: Rehearsed[] = []
  for (const certificate of chosenCertificates(context.fleet, { certificates }))
    rehearsed.push(...(await rehearse(context, certificate)))
  if (json) return printJson(terminal, { rehearsed })
  for (const { certificate, issuer, proofs } of rehearsed) {
    const how = proofs.map(({ name, type }) => `${name} (${type})`).join(', ')
    terminal.out(
      `${terminal.style('bold', certificate)}: ${issuer} was not asked; what it would look for was seen: ${how}`,
    )
  }
  if (rehearsed.length === 0) terminal.out('no ACME CA issues these: there is nothing to rehearse (onecert plan)')
}

async function runApply(
  shell: Shell,
  context: Context,
  json: boolean,
  certificates: string[],
  options: Options,
  how: { force: boolean; rekey: boolean },
): Promise<void> {
  const startedMs = context.clock.nowMs()
  const { applied, stopped } = await apply(context, {
    ...(certificates.length > 0 && { certificates }),
    ...(options.server && { servers: options.server }),
    ...how,
    parallel: options.parallel,
    connectTimeoutMs: options.connectTimeout * 1000,
  })
  if (json) printJson(shell.terminal, { certificates: applied.map(appliedJson) })
  else {
    const elapsedMs = context.clock.nowMs() - startedMs
    for (const each of applied) printApplied(each, shell.terminal, { forced: how.force, elapsedMs })
  }
  const failures = [...applied.flatMap(({ failure }) => failure ?? []), ...[partialError(applied) ?? []].flat()]
  for (const each of failures) {
    shell.exit = each.exit
    if (!json) printError(each, shell.terminal, { json, debug: false })
  }
  if (stopped) throw stopped
}

function partialError(applied: readonly Applied[]): OnecertError | null {
  const failed = applied.flatMap(({ result }) => result.outcomes.filter(({ state }) => state !== 'committed'))
  const untouched = applied.flatMap(({ result }) => result.untouched)
  const blocked = applied.flatMap(({ plan }) => plan.blocked.map(({ server }) => server.name))
  const stopped = applied.find(({ result }) => result.stopped !== null)?.result.stopped
  if (failed.length === 0 && untouched.length === 0 && blocked.length > 0) return licenceError(applied)
  if (failed.length === 0 && untouched.length === 0) return null
  const proven = applied.flatMap(({ plan, result }) => [
    ...plan.proven,
    ...result.outcomes.filter(({ state }) => state === 'committed'),
  ])
  return new OnecertError(stopped ? 'ROLLOUT_STOPPED' : 'ROLLOUT_PARTIAL', {
    what: stopped
      ? `the rollout stopped: ${stopped}`
      : `${failed.length} of ${failed.length + proven.length} servers are not proven`,
    state: `proven: ${proven.length}; not proven: ${failed.map(({ server, state }) => `${server} (${state})`).join(', ') || 'none'}; not begun: ${untouched.join(', ') || 'none'}`,
    next: 'onecert apply   (completes what is missing, and only that)',
    also: failed.flatMap(({ error }) => error ?? []),
  })
}

function licenceError(applied: readonly Applied[]): OnecertError | null {
  const [over] = applied.filter(({ plan }) => plan.blocked.length > 0)
  if (!over) return null
  const blocked = over.plan.blocked.map(({ server }) => server.name).join(', ')
  return new OnecertError('LICENCE_SEATS', {
    what: `no licence seat of ${over.certificate.name} is left for ${blocked}`,
    fact: `the licence allows ${over.certificate.licence?.servers} servers`,
    state: `${blocked}: nothing was copied there; all servers with a seat were brought to the certificate`,
    next: 'raise licence.servers in the fleet file to what the CA sold, or take a server away',
  })
}

function printApplied(
  { certificate, generation, issued, failure, tickets, plan, result, resumption }: Applied,
  terminal: Terminal,
  { forced, elapsedMs }: { readonly forced: boolean; readonly elapsedMs: number },
): void {
  const name = terminal.style('bold', certificate.name)
  if (issued) terminal.out(`${name}: generation ${generation.number} issued, because ${issued}`)
  else if (forced && !failure) {
    terminal.out(
      `${name}: nothing was issued: what the issuer ${certificate.issuers.join(', ')} has is generation ${generation.number} still; put a newer certificate into its files`,
    )
  }
  const done = result.outcomes.filter(({ state }) => state === 'committed')
  const changed = done.filter((outcome) => outcome.changed).length
  const proven = plan.proven.length + done.length
  const sent = result.outcomes.filter(({ keySent }) => keySent).length
  const all = plan.proven.length + plan.waves.flat().length + plan.blocked.length
  terminal.out(
    `${name}: ${terminal.style(proven === all ? 'green' : 'red', `${proven} of ${all} servers proven`)} with generation ${generation.number} ` +
      `(${changed} brought to it now, ${proven - changed} had it), ${sent} key ${sent === 1 ? 'copy' : 'copies'} travelled, ` +
      `${(elapsedMs / 1000).toFixed(1)} s`,
  )
  if (tickets?.reason) {
    const carried = result.outcomes.filter(({ ticketKeysSent, state }) => ticketKeysSent && state === 'committed')
    terminal.out(
      `${name}: session ticket keys ${tickets.keys.number} on ${carried.length} ${carried.length === 1 ? 'server' : 'servers'}, because ${tickets.reason}`,
    )
  }
  if (tickets && tickets.late.length > 0)
    terminal.out(`${name}: session ticket keys are to be rotated, and wait for ${tickets.late.join(', ')}`)
  for (const each of resumption) terminal.out(`${name}: ${resumptionText(each, terminal)}`)
}

function appliedJson({
  certificate,
  generation,
  issued,
  failure,
  waiting,
  tickets,
  plan,
  result,
  resumption,
}: Applied): Record<string, unknown> {
  return {
    certificate: certificate.name,
    generation: generation.number,
    fingerprint: generation.chain[0],
    spki: generation.spki,
    issued,
    ...(failure && { failure: failure.toJSON() }),
    waiting,
    ...(tickets && { ticketKeys: { number: tickets.keys.number, reason: tickets.reason, late: tickets.late } }),
    resumption,
    alreadyProven: plan.proven.map(({ placement }) => placement.server.name),
    servers: result.outcomes.map(({ error, ...outcome }) => ({
      ...outcome,
      ...(error && { error: asOnecertError(error).toJSON() }),
    })),
    keyCopiesSent: result.outcomes.filter(({ keySent }) => keySent).length,
    stopped: result.stopped,
    untouched: result.untouched,
    withoutSeat: plan.blocked.map(({ server }) => server.name),
  }
}
