import { asOnecertError, fail, type OnecertError, retold } from '../base/errors.ts'
import { endpointsOf, endpointText } from '../observe/endpoint.ts'
import type { Vantage } from '../observe/served.ts'
import type { Connection } from '../reach/connection.ts'
import {
  adopt,
  begin,
  carryTickets,
  commit,
  dropTickets,
  reload,
  stage,
  swap,
  testAsItWas,
  undo,
  wantsTickets,
} from './conversation.ts'
import { decide, type Found } from './decide.ts'
import { drained } from './drain.ts'
import { generationName } from './generation.ts'
import { type Look, lookDirectly, lookThrough } from './prober.ts'
import type { Sealed, ServerOutcome, ServerState } from './progress.ts'
import { connectionLost, rollBack, undoesItself } from './rollback.ts'
import { carriesSecret, effectOf, openOptions, type ServerRollout, type Session } from './task.ts'
import { verify, verifyLimits } from './verify.ts'

const roundsMax = 5

/**
 * Stage → test → swap → reload → verify → commit at one server, or roll back. Every failure is in the outcome.
 * Each step may be repeated with the same rollout: what is done already is found and left alone.
 */
export async function rolloutServer(task: ServerRollout): Promise<ServerOutcome> {
  const { server } = task.planned.placement
  const startedMs = task.clock.nowMs()
  const session: Session = {
    connection: null,
    changed: false,
    keySent: false,
    ticketKeysSent: false,
    bytesSent: 0,
    drained: [],
    state: 'pending',
  }
  const outcome = (state: ServerState, rest: { vantage?: Vantage; error?: OnecertError }): ServerOutcome => ({
    server: server.name,
    state,
    changed: session.changed,
    keySent: session.keySent,
    ticketKeysSent: session.ticketKeysSent,
    bytesSent: session.bytesSent + (session.connection?.sent.bytes ?? 0),
    elapsedMs: task.clock.nowMs() - startedMs,
    ...(session.sealed && { sealed: session.sealed }),
    ...(session.way !== undefined && { way: session.way }),
    drained: session.drained,
    ...rest,
  })
  try {
    const vantage = await walk(task, session)
    return outcome('committed', { vantage })
  } catch (thrown) {
    const error = thrown === task.signal.reason ? interrupted(server.name, thrown) : asOnecertError(thrown)
    const state = session.state === 'pending' && session.connection === null ? notReached(error) : session.state
    await task.setState(state, { code: error.code, what: error.failure.what })
    return outcome(state, { error })
  } finally {
    await session.connection?.close()
  }
}

function notReached(error: OnecertError): ServerState {
  return error.exit === 69 ? 'unreachable' : 'pending'
}

/** By a person, or by what makes it impossible to go on: a lease that was lost. */
function interrupted(server: string, reason: unknown): OnecertError {
  const error = asOnecertError(reason)
  const { what, state, next = 'onecert apply' } = error.failure
  return retold(error, {
    what: `${what} before ${server} was swapped`,
    state: [`nothing that ${server} serves was changed`, state].filter(Boolean).join('; '),
    next,
  })
}

async function walk(task: ServerRollout, session: Session): Promise<Vantage> {
  const { server } = task.planned.placement
  const prepared = await prepare(task, session)
  const look: Look = server.probe === 'direct' ? lookDirectly() : lookThrough(prepared.connection)
  const wants = wantsTickets(task, prepared.found)
  const { rereads } = task.planned
  const already = prepared.isCurrent && !wants && !rereads ? await servedAlready(task, look) : null
  if (already !== null) {
    await enter(task, session, 'committed', { generation: prepared.name, vantage: already })
    await settleTickets(task, prepared)
    return already
  }
  const before = prepared.resumed ? new Map<string, string>() : await servedBefore(task, look)
  return drained(task, session, async () => {
    task.signal.throwIfAborted()
    // Linked once more, they are read with a reload also where the memory of the service takes files.
    let ticketSet = rereads ? (prepared.found.tickets?.set ?? null) : null
    if (wants) {
      task.onStep('tickets')
      ticketSet = await carryTickets(task, session, prepared.connection, prepared.found)
    }
    const vantage = await activate(task, session, { ...prepared, ticketSet }, look, before)
    await settleTickets(task, prepared)
    return vantage
  })
}

/** Behind the commit. */
async function settleTickets(task: ServerRollout, { connection, found }: Prepared): Promise<void> {
  if (task.service.ticketKeys === null) return
  if (task.tickets === null && found.tickets !== null && !(await dropTickets(task, connection))) return
  await task.onTickets()
}

interface Prepared {
  readonly connection: Connection
  /** The name of the generation on the server. */
  readonly name: string
  /** It was swapped in by an earlier session that could not confirm it. */
  readonly resumed: boolean
  /** It is what the service is to read already, also by way of its explicit paths. */
  readonly isCurrent: boolean
  /** The server had nothing of this lineage. */
  readonly isFirst: boolean
  readonly found: Found
}

/** Until the wanted generation lies on the server, whole and checked. Nothing that is served changes. */
async function prepare(task: ServerRollout, session: Session): Promise<Prepared> {
  const { planned, ledger } = task
  const { server } = planned.placement
  task.onStep('connect')
  let fitForKey = carriesSecret(planned)
  let connection = await connect(task, session, fitForKey)
  let found = await begin(task, connection)
  await refuseUnseeable(task, connection)
  // The record said that a key is there, and it is not: it travels now, under a key exchange fit for it.
  const fit = async () => {
    if (fitForKey || connection.way === 'local') return
    session.bytesSent += connection.sent.bytes
    await connection.close()
    fitForKey = true
    connection = await connect(task, session, fitForKey)
    found = await begin(task, connection)
  }
  if (wantsTickets(task, found)) await fit()
  for (let round = 0; round < roundsMax; round++) {
    task.signal.throwIfAborted()
    const decision = decide(found)
    if (decision.kind === 'swap' || decision.kind === 'resume') {
      const resumed = decision.kind === 'resume'
      return {
        connection,
        found,
        isFirst: found.current === null,
        name: decision.generation,
        resumed,
        isCurrent: decision.generation === found.current && found.linked && !resumed,
      }
    }
    if (decision.kind === 'undo') {
      task.onStep('rollback')
      await drained(task, session, () =>
        ledger.effect({ ...effectOf(task), effect: 'rollback' }, () => undo(task, connection)),
      )
    } else if (decision.kind === 'adopt') {
      task.onStep('adopt')
      await adopt(task, connection, generationName(0, found.have))
    } else {
      if (decision.reuse === null) await fit()
      task.onStep('stage')
      const name = await stage(task, session, connection, found, decision.reuse)
      await enter(task, session, 'staged', { generation: name })
      return { connection, found, isFirst: found.current === null, name, resumed: false, isCurrent: false }
    }
    found = await begin(task, connection)
  }
  fail('INTERNAL', { what: `no progress at ${server.name}`, fact: JSON.stringify(found) })
}

/**
 * Only the header of the PROXY protocol cannot be had in both ways: then nothing is carried or swapped that would have to
 * go back for want of proof.
 * @throws OnecertError PROBE_FORBIDDEN
 */
async function refuseUnseeable({ planned: { placement } }: ServerRollout, connection: Connection): Promise<void> {
  const { server } = placement
  if (server.probe === 'direct') return
  const [endpoint] = endpointsOf(placement).filter(({ proxyProtocol }) => proxyProtocol)
  if (endpoint === undefined) return
  await lookThrough(connection)(endpoint, verifyLimits.handshakeTimeoutMs).catch((error: unknown) => {
    const told = asOnecertError(error)
    if (told.code === 'PROBE_FORBIDDEN') throw retold(told, { state: `nothing that ${server.name} serves was changed` })
  })
}

/** From where it was seen that the server serves the generation; null where it does not. */
async function servedAlready(task: ServerRollout, look: Look): Promise<Vantage | null> {
  task.onStep('verify')
  const endpoints = endpointsOf(task.planned.placement)
  return verify(endpoints, task.generation, look, task.clock, { ...verifyLimits, inARow: 1, withinMs: 0 }).catch(
    () => null,
  )
}

/** @returns the leaf that each endpoint serves before the swap; absent where it serves none */
async function servedBefore(task: ServerRollout, look: Look): Promise<Map<string, string>> {
  const before = new Map<string, string>()
  for (const endpoint of endpointsOf(task.planned.placement)) {
    const seen = await look(endpoint, verifyLimits.handshakeTimeoutMs).catch(() => null)
    const leaf = seen?.served.chain[0]
    if (leaf) before.set(endpointText(endpoint), leaf)
  }
  return before
}

/** Swap → reload → verify → commit, or everything as it was. From here on an interruption waits for the end. */
async function activate(
  task: ServerRollout,
  session: Session,
  { connection, name, found, isFirst, resumed, ticketSet }: Prepared & { readonly ticketSet: string | null },
  look: Look,
  before: ReadonlyMap<string, string>,
): Promise<Vantage> {
  const { planned, service, ledger, generation } = task
  const { server } = planned.placement
  const effect = effectOf(task)
  const swapped = { ...effect, generation: generation.number, fingerprint: generation.fingerprint } as const
  task.onStep('swap')
  session.changed = true
  await enter(task, session, 'swapped', { generation: name })
  let refused: OnecertError | null
  let sealed: Sealed
  try {
    const answer = await ledger.effect({ ...swapped, effect: 'swap' }, () =>
      swap(task, connection, name, { ticketSet, found }),
    )
    refused = answer.refused
    sealed = answer.sealed
  } catch (error) {
    if (connectionLost(error)) throw undoesItself(task, session, asOnecertError(error))
    session.state = 'staged'
    session.changed = false
    if (asOnecertError(error).code === 'SERVICE_TEST_FAILED') await testAsItWas(task, connection)
    throw error
  }
  // What is resumed may have been reloaded by the session that began it.
  let reloaded = resumed
  try {
    if (refused) throw refused
    session.sealed = sealed
    await enter(task, session, 'tested', { sealed })
    task.onStep('reload')
    reloaded = true
    const mayStart = isFirst || (before.size === 0 && !resumed)
    const way = await ledger.effect(
      { ...effect, effect: 'reload' },
      () => reload(connection, service, server.name, mayStart),
      (way) => ({ way }),
    )
    session.way = way
    await enter(task, session, 'reloaded', { way })
    task.onStep('verify')
    const withinMs = Math.min(verifyLimits.withinMs, task.confirmWithinMs / 2)
    const endpoints = endpointsOf(planned.placement)
    const vantage = await verify(
      endpoints,
      generation,
      look,
      task.clock,
      { ...verifyLimits, withinMs },
      before,
      task.onServed,
    )
    await enter(task, session, 'verified', { vantage })
    task.onStep('commit')
    await ledger.effect({ ...swapped, effect: 'commit' }, () => commit(task, connection, name))
    await enter(task, session, 'committed', { generation: name, vantage })
    return vantage
  } catch (error) {
    if (connectionLost(error)) throw undoesItself(task, session, asOnecertError(error))
    const cause = asOnecertError(error)
    task.onStep('rollback')
    await rollBack(task, session, connection, look, { reloaded, before, mustServe: resumed }, cause)
    if (refused?.code === 'SERVICE_TEST_FAILED' && !isFirst) await testAsItWas(task, connection)
    throw cause
  }
}

async function enter(
  task: ServerRollout,
  session: Session,
  state: ServerState,
  detail: Record<string, unknown> = {},
): Promise<void> {
  session.state = state
  const written = task.setState(state, detail)
  // Only the end is waited for. What is in between is written in order, together with the next intent.
  if (state === 'committed') await Promise.all([written, task.ledger.settled()])
  else written.catch(() => {})
}

async function connect(task: ServerRollout, session: Session, carriesKey: boolean): Promise<Connection> {
  session.connection = null
  const connection = await task.reach.open(task.planned.placement.server, openOptions(task, carriesKey))
  session.connection = connection
  return connection
}
