import { randomBytes } from 'node:crypto'
import type { OnecertError } from '../base/errors.ts'
import type { Certificate } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { endpointsOf } from '../observe/endpoint.ts'
import { openAhead } from '../rollout/ahead.ts'
import { openBalancers } from '../rollout/balancer.ts'
import { fileHashes, type Generation } from '../rollout/generation.ts'
import type { Plan, PlannedServer } from '../rollout/plan.ts'
import type { ServerOutcome } from '../rollout/progress.ts'
import { receiverFor } from '../rollout/receiver.ts'
import { type RolloutResult, rolloutWaves } from '../rollout/rollout.ts'
import { rolloutServer } from '../rollout/server.ts'
import { carriesSecret, effectOf, openOptions, type ServerRollout } from '../rollout/task.ts'
import { turnOf } from '../rollout/turn.ts'
import { serviceOf } from '../services/drivers.ts'
import { type Choice, chosenCertificates, type Haste, type Thoroughness } from './choice.ts'
import type { Context } from './context.ts'
import { issueCertificate } from './issue.ts'
import { withLease } from './lease.ts'
import { planCertificate } from './plan.ts'
import { keepQuarantine, type QuarantineResult } from './quarantine.ts'
import { rememberServers } from './remembered.ts'
import { type ResumptionStatus, resumptionOf } from './resumption.ts'
import { type Sampled, sampleBalancers } from './sample.ts'
import {
  forgetTickets,
  noteHeld,
  noteReread,
  settleTicketCopies,
  type Tickets,
  ticketStates,
  ticketsOf,
} from './tickets.ts'
import { eachInTurn } from './turns.ts'

export interface ApplyOptions extends Choice, Haste, Thoroughness {
  readonly force?: boolean
  readonly rekey?: boolean
  /** A certificate that is neither due nor asked for is left alone, and so are its servers. */
  readonly dueOnly?: boolean
  /** Servers at once. */
  readonly parallel: number
  readonly connectTimeoutMs: number
}

export interface Applied {
  readonly certificate: Certificate
  readonly generation: Generation
  readonly issued: string | null
  /** A new certificate is wanted and could not be had; the one that is there was rolled out. */
  readonly failure: OnecertError | null
  readonly waiting: string | null
  /** null: the fleet file asks for no session ticket keys. */
  readonly tickets: Tickets | null
  readonly plan: Plan
  readonly result: RolloutResult
  /** Through each balancer, where all servers of the lineage are proven: empty, where some are not. */
  readonly samples: readonly Sampled[]
  /** Looked at where something was changed. */
  readonly resumption: readonly ResumptionStatus[]
}

/** Behind a reload, old processes of a service go on for a moment. */
const resumptionWithinMs = 3_000

/** What was left alone. */
export interface NotDue {
  readonly certificate: Certificate
  readonly generation: Generation
  readonly dueMs: number | null
}

export interface RolledOut {
  readonly applied: Applied[]
  readonly notDue: NotDue[]
  /** What stopped a lineage before any server was touched; what fails at servers is in the outcomes. */
  readonly stopped: OnecertError | null
}

export interface ApplyResult extends RolledOut {
  readonly quarantine: QuarantineResult
}

/** Brings every server to its certificate; then servers that are not renewed in time leave the DNS, where that is wanted. */
export async function apply(context: Context, options: ApplyOptions): Promise<ApplyResult> {
  const rolledOut = await rollOut(context, options)
  const quarantine = context.signal.aborted ? { done: [], failures: [] } : await keepQuarantine(context, options)
  return { ...rolledOut, quarantine }
}

/** Issues where needed, rolls out, proves and records, one lineage after the other. One that fails stops no other one. */
export async function rollOut(context: Context, options: ApplyOptions): Promise<RolledOut> {
  const applied: Applied[] = []
  const notDue: NotDue[] = []
  const stopped = await eachInTurn(chosenCertificates(context.fleet, options), context.signal, (certificate) =>
    withLease(context, certificate.name, async (token, signal) => {
      const one = await applyOne({ ...context, signal }, certificate, token, options)
      if ('plan' in one) applied.push(one)
      else notDue.push(one)
    }),
  )
  return { applied, notDue, stopped }
}

async function applyOne(
  context: Context,
  certificate: Certificate,
  token: number,
  options: ApplyOptions,
): Promise<Applied | NotDue> {
  const { generation, issued, failure, waiting, dueMs } = await issueCertificate(context, certificate, {
    force: options.force ?? false,
    rekey: options.rekey ?? false,
  })
  if (options.dueOnly && issued === null && failure === null) return { certificate, generation, dueMs }
  const tickets = await ticketsOf(context, certificate, generation)
  const plan = await planCertificate(context, certificate, generation, options, tickets?.keys.number ?? null)
  const result =
    plan.waves.length === 0
      ? { outcomes: [], stopped: null, untouched: [], waiting: [] }
      : await carry(context, certificate, token, { generation, plan, tickets }, options)
  await settleTicketCopies(context, certificate)
  await forgetTickets(context, certificate)
  const proven = plan.proven.length + result.outcomes.filter(({ state }) => state === 'committed').length
  const whole = proven === placements(context.fleet, certificate.name).length && !context.signal.aborted
  const samples = whole ? await sampleBalancers(context, certificate.name, generation.chain) : []
  const withinMs = result.outcomes.some(({ changed }) => changed) ? resumptionWithinMs : 0
  const worked = result.outcomes.length > 0 && !context.signal.aborted
  const resumption = worked ? await resumptionOf(context, certificate, withinMs) : []
  return { certificate, generation, issued, failure, waiting, tickets, plan, result, samples, resumption }
}

interface Carried {
  readonly generation: Generation
  readonly plan: Plan
  readonly tickets: Tickets | null
}

async function carry(
  context: Context,
  certificate: Certificate,
  token: number,
  { generation, plan, tickets }: Carried,
  options: ApplyOptions,
): Promise<RolloutResult> {
  await rememberServers(
    context,
    plan.waves.flat().map(({ placement }) => placement.server),
  )
  const rollout = newRolloutId(context.clock.nowMs())
  await context.store.startRollout({
    id: rollout,
    lineage: certificate.name,
    generation: generation.number,
    token,
    startedAtMs: context.clock.nowMs(),
  })
  const hashes = fileHashes(generation)
  const reach = openAhead(context.reachOf)
  const balancers = openBalancers(context.fleet, context.reachOf, {
    timeoutMs: options.connectTimeoutMs,
    signal: context.signal,
  })
  const noted = await ticketStates(context.store).read(certificate.name)
  const onTickets = async ({ placement: { server }, rereads }: PlannedServer) => {
    const number = tickets?.keys.number ?? null
    if (noted) await noteHeld(context.store, certificate.name, server.name, number)
    if (rereads && number !== null) await noteReread(context.store, certificate.name, server.name, number)
  }
  const given = { rollout, token, generation, hashes, reach, balancers, tickets: tickets?.keys ?? null }
  const task = (planned: PlannedServer, onServed = () => {}) =>
    taskOf(context, { ...given, planned, onServed, onTickets: () => onTickets(planned) }, options)
  const one = (planned: PlannedServer, onServed: () => void) => rolloutOne(context, task(planned, onServed))
  const result = await rolloutWaves(plan, one, {
    parallel: options.parallel,
    signal: context.signal,
    report: context.report,
    turnOf: ({ placement, override }) =>
      turnOf(placement.server.windows, context.clock.nowMs(), { now: override ?? null, servedUntilMs: null }),
    soon: (planned) => reach.prepare(planned.placement.server, openOptions(task(planned), carriesSecret(planned))),
  }).finally(() => Promise.all([reach.close(), balancers.close()]))
  await context.store.finishRollout(rollout, {
    finishedAtMs: context.clock.nowMs(),
    outcome:
      result.outcomes.every(({ state }) => state === 'committed') &&
      result.stopped === null &&
      result.waiting.length === 0
        ? 'done'
        : 'partial',
  })
  return result
}

type Given = Pick<
  ServerRollout,
  | 'rollout'
  | 'token'
  | 'generation'
  | 'hashes'
  | 'tickets'
  | 'reach'
  | 'balancers'
  | 'planned'
  | 'onServed'
  | 'onTickets'
>

function taskOf(context: Context, given: Given, { connectTimeoutMs }: ApplyOptions): ServerRollout {
  const { fleet, store, ledger, clock, report, signal } = context
  const { server } = given.planned.placement
  return {
    ...given,
    service: serviceOf(server.service),
    receiver: receiverFor(fleet, server, 'rollout'),
    ledger,
    clock,
    signal,
    confirmWithinMs: fleet.rollout.confirmWithinMs,
    connectTimeoutMs,
    setState: (state, detail) => store.setServerState(given.rollout, server.name, state, detail, clock.nowMs()),
    notice: (text) => report({ kind: 'notice', lineage: given.generation.lineage, text }),
    onStep: (step) => report({ kind: 'step', lineage: given.generation.lineage, server: server.name, step }),
  }
}

async function rolloutOne({ store, clock, report }: Context, task: ServerRollout): Promise<ServerOutcome> {
  const { override: reason, placement } = task.planned
  const { server } = placement
  if (reason !== undefined) {
    const text = `the maintenance window of ${server.name} is closed; it is changed now: ${reason}`
    report({ kind: 'notice', lineage: task.generation.lineage, text })
    await task.ledger.done({ ...effectOf(task), effect: 'override', reason })
  }
  const outcome = await rolloutServer(task)
  if (outcome.vantage) {
    for (const { name, address, port } of endpointsOf(placement)) {
      await store.recordObservation({
        server: server.name,
        name,
        address,
        port,
        atMs: clock.nowMs(),
        vantage: outcome.vantage,
        fingerprint: task.generation.fingerprint,
        notAfterMs: task.generation.notAfterMs,
        reason: null,
      })
    }
  }
  return outcome
}

/** Sortable by time, unique by chance: `20261123T204500-1f2e3d4c`. */
function newRolloutId(nowMs: number): string {
  const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d+Z/g, '')
  return `${time}-${randomBytes(4).toString('hex')}`
}
