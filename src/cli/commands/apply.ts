import { type Command, InvalidArgumentError } from 'commander'
import { type Applied, type ApplyResult, apply, type NotDue } from '../../actions/apply.ts'
import type { Context } from '../../actions/context.ts'
import { hasNewFiles } from '../../actions/need.ts'
import { type Sampled, sampledAt } from '../../actions/sample.ts'
import { asOnecertError, OnecertError } from '../../base/errors.ts'
import type { Certificate, Fleet } from '../../fleet/fleet.ts'
import { counted, minute } from '../../pki/text.ts'
import type { WaitingServer } from '../../rollout/plan.ts'
import { sampleText } from '../../rollout/sample.ts'
import { wholeNumber } from '../numbers.ts'
import { resumptionText } from '../resumption.ts'
import { configurationExit, describe, printError, printJson, type Shell, usageExit, withContext } from '../shell.ts'
import type { Terminal } from '../terminal.ts'

export interface RolloutOptions {
  readonly server?: string[]
  readonly parallel: number
  readonly connectTimeout: number
  readonly now?: string
}

export const rolloutExits = [
  usageExit,
  { status: 65, when: 'a certificate or key has a defect: no server was touched' },
  {
    status: 69,
    when: 'the CA cannot be reached; what is there was rolled out; or something else is served through a balancer',
  },
  {
    status: 75,
    when: 'not all yet: some servers are not proven, or wait for their maintenance windows; run it again to complete what is missing; or the CA is not asked now',
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
  describe(
    command,
    ['onecert apply', 'onecert apply www --server eu-1', 'onecert apply --now "the key was lost"'],
    rolloutExits,
  ).action((certificates: string[], options: RolloutOptions) =>
    withContext(shell, command, async (context, json) => {
      await runApply(shell, context, json, certificates, options, { force: false, rekey: false })
    }),
  )
}

export function rolloutOptions(command: Command): Command {
  return command
    .option(
      '--server <name...>',
      'only these servers; their files are looked at too, also where what they serve is right',
    )
    .option('--parallel <number>', 'servers at once', wholeNumber(1, 1_000), 16)
    .option('--now <reason>', 'do not wait for maintenance windows; the reason goes into the ledger', reasonText)
    .option('--connect-timeout <seconds>', 'for each server', wholeNumber(1, 600), 15)
}

const reasonCharactersMax = 200

function reasonText(text: string): string {
  if (text.trim() !== '' && text.length <= reasonCharactersMax && !/\p{Cc}/u.test(text)) return text.trim()
  throw new InvalidArgumentError(`one line of at most ${reasonCharactersMax} characters is wanted.`)
}

export async function runApply(
  shell: Shell,
  context: Context,
  json: boolean,
  certificates: string[],
  options: RolloutOptions,
  how: { force: boolean; rekey: boolean; dueOnly?: boolean },
): Promise<void> {
  const startedMs = context.clock.nowMs()
  shell.stopping = 'servers that were swapped are brought to their end'
  const done = await apply(context, {
    ...(certificates.length > 0 && { certificates }),
    ...(options.server && { servers: options.server, thorough: true }),
    ...how,
    now: options.now ?? null,
    parallel: options.parallel,
    connectTimeoutMs: options.connectTimeout * 1000,
  })
  const { applied, notDue, stopped, quarantine } = done
  if (json) {
    printJson(shell.terminal, {
      certificates: applied.map(appliedJson),
      ...(how.dueOnly && { notDue: notDue.map(notDueJson) }),
      quarantine: quarantine.done,
    })
  } else {
    const elapsedMs = context.clock.nowMs() - startedMs
    for (const each of applied) printApplied(each, shell.terminal, { forced: how.force || how.rekey, elapsedMs })
    for (const each of notDue) printNotDue(each, context, shell.terminal)
  }
  for (const each of failuresOf(done)) {
    shell.exit = each.exit
    if (!json) printError(each, shell.terminal, { json, debug: false })
  }
  if (stopped) throw stopped
}

/** What is not as it should be behind a rollout; the last one tells the exit status. */
export function failuresOf({ applied, quarantine }: ApplyResult): OnecertError[] {
  return [
    ...applied.flatMap(({ failure }) => failure ?? []),
    ...[partialError(applied) ?? []].flat(),
    ...quarantine.failures,
    ...[driftError(applied) ?? []].flat(),
  ]
}

function partialError(applied: readonly Applied[]): OnecertError | null {
  const failed = applied.flatMap(({ result }) => result.outcomes.filter(({ state }) => state !== 'committed'))
  const untouched = applied.flatMap(({ result }) => result.untouched)
  const waiting = waitingServers(applied)
  const blocked = applied.flatMap(({ plan }) => plan.blocked.map(({ server }) => server.name))
  const stopped = applied.find(({ result }) => result.stopped !== null)?.result.stopped
  if (failed.length === 0 && untouched.length === 0 && blocked.length > 0) return licenceError(applied)
  if (failed.length === 0 && untouched.length === 0) return waiting.length > 0 ? windowError(waiting) : null
  const proven = applied.flatMap(({ plan, result }) => [
    ...plan.proven,
    ...result.outcomes.filter(({ state }) => state === 'committed'),
  ])
  return new OnecertError(stopped ? 'ROLLOUT_STOPPED' : 'ROLLOUT_PARTIAL', {
    what: stopped
      ? `the rollout stopped: ${stopped}`
      : `${failed.length} of ${counted(failed.length + proven.length, 'server')} ${failed.length === 1 ? 'is' : 'are'} not proven`,
    state: `proven: ${proven.length}; not proven: ${failed.map(({ server, state }) => `${server} (${state})`).join(', ') || 'none'}; not begun: ${untouched.join(', ') || 'none'}${waiting.length > 0 ? `; waiting for their windows: ${waiting.map(waitsText).join(', ')}` : ''}`,
    next: 'onecert apply   (completes what is missing, and only that)',
    also: failed.flatMap(({ error }) => error ?? []),
  })
}

/** One that can only be looked at there, and was right when it was, is not what makes a rollout incomplete. */
function waitingServers(applied: readonly Applied[]): WaitingServer[] {
  return applied
    .flatMap(({ plan, result }) => [...plan.waiting, ...result.waiting])
    .filter(({ action, placement }) => action !== 'check' || placement.server.probe === 'direct')
}

function waitsText({ placement, opensAt }: WaitingServer): string {
  return `${placement.server.name} (opens ${opensAt})`
}

function windowError(waiting: readonly WaitingServer[]): OnecertError {
  const one = waiting.length === 1
  return new OnecertError('WINDOW_CLOSED', {
    what: one
      ? '1 server waits for its maintenance window'
      : `${waiting.length} servers wait for their maintenance windows`,
    fact: waiting.map(waitsText).join(', '),
    state: `nothing was changed on ${one ? 'it' : 'them'}; nothing failed`,
    next: 'onecert apply, when a window is open; or now: onecert apply --now "the reason"',
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

/** All servers are proven, and clients of a balancer are shown something else. */
function driftError(applied: readonly Applied[]): OnecertError | null {
  const wrong = applied
    .flatMap(({ samples }) => samples)
    .filter(({ sample }) => sample.seen.some((each) => each.wrong !== null))
  const [first] = wrong
  if (!first) return null
  return new OnecertError('BALANCER_DRIFT', {
    what: `something else is served through the balancer of ${wrong.map(({ site }) => site).join(', ')}`,
    fact: wrong.map((each) => sampleLine(each)).join('; '),
    state: 'each server of the fleet file was proven at its own address',
    next: `look for a member that the fleet file does not name, or an old process at a member's port; then: onecert status`,
  })
}

function sampleLine(sampled: Sampled): string {
  const { sample } = sampled
  return `sample of ${sample.connections} connections through ${sampledAt(sampled)}: ${sampleText(sample)}`
}

export function printApplied(
  { certificate, generation, issued, failure, tickets, plan, result, samples, resumption }: Applied,
  terminal: Terminal,
  { forced, elapsedMs }: { readonly forced: boolean; readonly elapsedMs: number },
): void {
  const name = terminal.style('bold', certificate.name)
  if (issued) terminal.out(`${name}: generation ${generation.number} issued, because ${issued}`)
  else if (forced && !failure) terminal.out(`${name}: ${nothingNewer(certificate, generation.number)}`)
  const done = result.outcomes.filter(({ state }) => state === 'committed')
  const changed = done.filter((outcome) => outcome.changed).length
  const proven = plan.proven.length + done.length
  const sent = result.outcomes.filter(({ keySent }) => keySent).length
  const all = plan.proven.length + plan.waves.flat().length + plan.waiting.length + plan.blocked.length
  for (const { placement, opensAt } of [...plan.waiting, ...result.waiting])
    terminal.out(
      `${name}: ${placement.server.name} ${terminal.style('yellow', 'waits')} for its window, opens ${opensAt}`,
    )
  terminal.out(
    `${name}: ${terminal.style(proven === all ? 'green' : 'red', `${proven} of ${all} servers proven`)} with generation ${generation.number} ` +
      `(${changed} brought to it now, ${proven - changed} had it), ${counted(sent, 'key copy', 'key copies')} travelled, ` +
      `${(elapsedMs / 1000).toFixed(1)} s`,
  )
  for (const sampled of samples) terminal.out(`  ${sampled.site}: ${sampleLine(sampled)}`)
  if (tickets?.reason) {
    const carried = result.outcomes.filter(({ ticketKeysSent, state }) => ticketKeysSent && state === 'committed')
    terminal.out(
      `${name}: session ticket keys ${tickets.keys.number} on ${counted(carried.length, 'server')}, because ${tickets.reason}`,
    )
  }
  if (tickets && tickets.late.length > 0)
    terminal.out(`${name}: session ticket keys are to be rotated, and wait for ${tickets.late.join(', ')}`)
  for (const each of resumption) terminal.out(`${name}: ${resumptionText(each, terminal)}`)
}

function printNotDue({ certificate, generation, dueMs }: NotDue, { fleet }: Context, terminal: Terminal): void {
  const name = terminal.style('bold', certificate.name)
  if (hasOnlyFiles(certificate, fleet)) terminal.out(`${name}: ${nothingNewer(certificate, generation.number)}`)
  else terminal.out(`${name}: ${sayNotDue(certificate, generation.number, dueMs)}; no server was looked at`)
}

/** What a bought certificate, or one that another client keeps, lacks; no option brings one that is not there. */
function nothingNewer({ issuers }: Certificate, generation: number): string {
  return `nothing was issued: what the issuer ${issuers.join(', ')} has is generation ${generation} still; put a newer certificate into its files`
}

export function sayNotDue({ name }: Certificate, generation: number, dueMs: number | null): string {
  return `not due before ${dueText(dueMs)}: generation ${generation} stays (now: onecert renew ${name} --force)`
}

export const hasOnlyFiles = ({ issuers }: Certificate, { issuers: all }: Fleet) =>
  issuers.flatMap((name) => all.get(name) ?? []).every(hasNewFiles)

const dueText = (dueMs: number | null) => (dueMs === null ? 'there is one' : minute(dueMs))

function notDueJson({ certificate, generation, dueMs }: NotDue): Record<string, unknown> {
  return { certificate: certificate.name, generation: generation.number, due: dueMs && new Date(dueMs).toISOString() }
}

export function appliedJson({
  certificate,
  generation,
  issued,
  failure,
  waiting,
  tickets,
  plan,
  result,
  samples,
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
    waitingForWindow: [...plan.waiting, ...result.waiting].map(({ placement, opensAt }) => ({
      server: placement.server.name,
      opensAt,
    })),
    overrides: plan.waves
      .flat()
      .flatMap(({ placement, override }) =>
        override === undefined ? [] : [{ server: placement.server.name, reason: override }],
      ),
    withoutSeat: plan.blocked.map(({ server }) => server.name),
    balancers: samples,
  }
}
