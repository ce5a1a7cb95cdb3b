import type { ErrorCode } from '../base/catalogue.ts'
import type { Clock } from '../base/clock.ts'
import { asOnecertError, fail, OnecertError, quote } from '../base/errors.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Vantage } from '../observe/served.ts'
import type { Answer, Connection, Reach, ReceiverText } from '../reach/connection.ts'
import type { Service } from '../services/service.ts'
import { decide, type Found } from './decide.ts'
import { type FileHashes, type Generation, generationName } from './generation.ts'
import type { PlannedServer } from './plan.ts'
import { endpointsOf, type Look, lookDirectly, lookThrough } from './prober.ts'
import type { ServerOutcome, ServerState, Step } from './progress.ts'
import { verify, verifyLimits } from './verify.ts'

/** What the steps at one server need; the same for all servers of a rollout but for `planned`, `receiver` and `service`. */
export interface ServerRollout {
  readonly rollout: string
  readonly token: number
  readonly planned: PlannedServer
  readonly generation: Generation
  readonly hashes: FileHashes
  readonly service: Service
  readonly receiver: ReceiverText
  readonly reach: Reach
  readonly ledger: Ledger
  readonly clock: Clock
  readonly confirmWithinMs: number
  readonly connectTimeoutMs: number
  /** Aborted: nothing is swapped any more; what is swapped already is brought to its end. */
  readonly signal: AbortSignal
  /** Durable before it resolves. */
  readonly setState: (state: ServerState, detail: Record<string, unknown>) => Promise<void>
  readonly onStep: (step: Step) => void
}

const generationsKept = 1
const roundsMax = 5

/**
 * Stage → test → swap → reload → verify → commit at one server, or roll back. Every failure is in the outcome.
 * Each step may be repeated with the same rollout: what is done already is found and left alone.
 */
export async function rolloutServer(task: ServerRollout): Promise<ServerOutcome> {
  const { server } = task.planned.placement
  const startedMs = task.clock.nowMs()
  const session: Session = { connection: null, keySent: false, bytesSent: 0, state: 'pending' }
  const outcome = (state: ServerState, rest: { vantage?: Vantage; error?: OnecertError }): ServerOutcome => ({
    server: server.name,
    state,
    keySent: session.keySent,
    bytesSent: session.bytesSent + (session.connection?.sent.bytes ?? 0),
    elapsedMs: task.clock.nowMs() - startedMs,
    ...rest,
  })
  try {
    const vantage = await walk(task, session)
    return outcome('committed', { vantage })
  } catch (thrown) {
    const error = thrown === task.signal.reason ? interrupted(server.name) : asOnecertError(thrown)
    const state = session.state === 'pending' && session.connection === null ? notReached(error) : session.state
    await task.setState(state, { code: error.code, what: error.failure.what })
    return outcome(state, { error })
  } finally {
    await session.connection?.close()
  }
}

interface Session {
  connection: Connection | null
  keySent: boolean
  bytesSent: number
  state: ServerState
}

function notReached(error: OnecertError): ServerState {
  return error.exit === 69 ? 'unreachable' : 'pending'
}

function interrupted(server: string): OnecertError {
  return new OnecertError('INTERRUPTED', {
    what: `interrupted before ${server} was swapped`,
    state: `nothing that ${server} serves was changed`,
    next: 'onecert apply',
  })
}

async function walk(task: ServerRollout, session: Session): Promise<Vantage> {
  const { planned, service, ledger } = task
  const { server } = planned.placement
  const enter = async (state: ServerState, detail: Record<string, unknown> = {}) => {
    session.state = state
    await task.setState(state, detail)
  }
  const effect = {
    rollout: task.rollout,
    lineage: task.generation.lineage,
    server: server.name,
    token: task.token,
  } as const

  task.onStep('connect')
  let connection = await connect(task, session, planned.action === 'key')
  let found = await begin(task, connection)
  let generation: string | null = null
  let resumed = false

  for (let round = 0; generation === null; round++) {
    if (round >= roundsMax) fail('INTERNAL', { what: `no progress at ${server.name}`, fact: JSON.stringify(found) })
    task.signal.throwIfAborted()
    const decision = decide(found)
    if (decision.kind === 'undo') {
      task.onStep('rollback')
      await ledger.effect({ ...effect, effect: 'rollback' }, () => undo(task, connection))
      found = await begin(task, connection)
    } else if (decision.kind === 'adopt') {
      task.onStep('adopt')
      const name = generationName(0, found.have)
      await ledger.effect(
        { ...effect, effect: 'adopt', path: `${server.directory}/${effect.lineage}/${name}` },
        async () =>
          expectOk(
            await connection.request('adopt', [name]),
            `adopting the files of ${server.name}`,
            nothingSwapped(server.name),
          ),
      )
      found = await begin(task, connection)
    } else if (decision.kind === 'stage') {
      if (decision.reuse === null && planned.action !== 'key' && !session.keySent) {
        // The record said that the key is there, and it is not: it travels now, under a key exchange fit for it.
        if (connection.way !== 'local') {
          session.bytesSent += connection.sent.bytes
          await connection.close()
          connection = await connect(task, session, true)
          found = await begin(task, connection)
        }
      }
      task.onStep('stage')
      generation = await stage(task, session, connection, found, decision.reuse)
      await enter('staged', { generation })
    } else {
      generation = decision.generation
      resumed = decision.kind === 'resume'
    }
  }

  const look: Look = server.probe === 'direct' ? lookDirectly() : lookThrough(connection)
  const endpoints = endpointsOf(planned.placement)
  const before = new Map<string, string>()
  if (!resumed) {
    task.onStep('test')
    if (found.current !== null) await testAsItIs(task, connection)
    for (const endpoint of endpoints) {
      const seen = await look(endpoint, verifyLimits.handshakeTimeoutMs).catch(() => null)
      const leaf = seen?.served.chain[0]
      if (leaf) before.set(endpoint.name, leaf)
    }
    await enter('tested')
    task.signal.throwIfAborted()
  }

  const name = generation
  task.onStep('swap')
  const confirmSeconds = String(Math.ceil(task.confirmWithinMs / 1000))
  await enter('swapped', { generation: name })
  const swapped = await ledger
    .effect(
      { ...effect, effect: 'swap', generation: task.generation.number, fingerprint: task.generation.fingerprint },
      async () =>
        expectOk(
          await connection.request('swap', [name, confirmSeconds]),
          `swapping on ${server.name}`,
          nothingSwapped(server.name),
        ),
    )
    .catch((error: unknown) => {
      if (error instanceof OnecertError && error.code !== 'SSH_LOST') session.state = 'tested'
      throw error
    })
  const first = swapped.get('previous') === '-'

  try {
    task.onStep('test')
    await testNew(connection, server.name)
    task.onStep('reload')
    await ledger.effect({ ...effect, effect: 'reload' }, () =>
      reload(connection, service, server.name, first || before.size === 0),
    )
    await enter('reloaded')
    task.onStep('verify')
    const withinMs = Math.min(verifyLimits.withinMs, task.confirmWithinMs / 2)
    const vantage = await verify(endpoints, task.generation, look, task.clock, { ...verifyLimits, withinMs }, before)
    await enter('verified', { vantage })
    task.onStep('commit')
    await ledger.effect({ ...effect, effect: 'commit', generation: task.generation.number }, () =>
      commit(task, connection, name),
    )
    await enter('committed', { generation: name, vantage })
    return vantage
  } catch (thrown) {
    const cause = asOnecertError(thrown)
    task.onStep('rollback')
    await rollBack(task, session, connection, look, before, cause)
    throw cause
  }
}

async function connect(task: ServerRollout, session: Session, carriesKey: boolean): Promise<Connection> {
  session.connection = null
  const connection = await task.reach.open(task.planned.placement.server, {
    receiver: task.receiver,
    carriesKey,
    timeoutMs: task.connectTimeoutMs,
    signal: task.signal,
  })
  session.connection = connection
  return connection
}

async function begin(task: ServerRollout, connection: Connection): Promise<Found> {
  const { generation, hashes, service } = task
  const { server } = task.planned.placement
  const answer = await connection.request('begin', [
    generation.lineage,
    task.rollout,
    String(task.token),
    generation.spki,
    String(Math.ceil(task.confirmWithinMs / 1000)),
    service.layout === 'combined' ? hashes.combined : hashes.chain,
    hashes.key,
  ])
  const facts = expectOk(answer, `beginning on ${server.name}`, nothingSwapped(server.name))
  const word = (name: string) => {
    const value = facts.get(name)
    return value === undefined || value === '-' || value === '' ? null : value
  }
  const clockMs = Number(word('clock')) * 1000
  if (clockMs < generation.notBeforeMs) {
    fail('CERT_NOT_YET_VALID', {
      what: `on ${server.name} the certificate is not yet valid`,
      fact: `its clock says ${new Date(clockMs).toISOString()}, ours ${new Date(task.clock.nowMs()).toISOString()}, the certificate begins ${new Date(generation.notBeforeMs).toISOString()}`,
      state: nothingSwapped(server.name),
      next: `set the clock of ${server.name}, then: onecert apply`,
    })
  }
  return {
    current: word('current'),
    match: word('match'),
    held: word('held'),
    unconfirmed: word('unconfirmed'),
    adoptable: facts.get('adoptable') === 'yes',
    have: [...new Set((word('have') ?? '').split(',').filter(Boolean))],
    clockMs,
  }
}

async function stage(
  task: ServerRollout,
  session: Session,
  connection: Connection,
  found: Found,
  reuse: string | null,
): Promise<string> {
  const { generation, hashes, ledger } = task
  const { server } = task.planned.placement
  const name = generationName(generation.number, found.have)
  const file = task.service.layout === 'combined' ? 'combined.pem' : 'privkey.pem'
  const fields = {
    rollout: task.rollout,
    lineage: generation.lineage,
    generation: generation.number,
    server: server.name,
    token: task.token,
  } as const
  const done = async (verb: string, words: readonly string[], payload?: Generation['keyPem'] | string) =>
    expectOk(
      await connection.request(verb, words, payload === undefined ? {} : { payload }),
      `staging on ${server.name}`,
      nothingSwapped(server.name),
    )
  const seal = () => done('seal', [name, hashes.chain, hashes.key, generation.spki])
  await ledger.effect({ ...fields, effect: 'stage', fingerprint: generation.fingerprint }, async () => {
    await done('stage', [], generation.chainPem)
    const copy = {
      ...fields,
      effect: 'key-copy',
      spki: generation.spki,
      path: `${server.directory}/${generation.lineage}/${name}/${file}`,
      way: reuse === null ? connection.way : `on ${server.name}`,
    } as const
    await ledger.effect(copy, async () => {
      if (reuse === null) {
        session.keySent = true
        await done('key', [], generation.keyPem)
      } else await done('reuse', [reuse])
      await seal()
    })
  })
  return name
}

/** TST-2: with a configuration that is broken already, a reload would activate somebody else's edit. */
async function testAsItIs(task: ServerRollout, connection: Connection): Promise<void> {
  const { server } = task.planned.placement
  const answer = await connection.request('test', [])
  if (answer.ok) return
  fail(answer.code === 'SERVICE_TEST_FAILED' ? 'SERVICE_ALREADY_BROKEN' : (answer.code ?? 'SERVICE_ALREADY_BROKEN'), {
    what: `the configuration of ${task.service.kind} on ${server.name} fails its own test, before any change of ours`,
    fact: outputText(answer),
    state: nothingSwapped(server.name),
    next: `mend it on ${server.name} (${task.service.test.join(' ')}), then: onecert apply`,
  })
}

async function testNew(connection: Connection, server: string): Promise<void> {
  const answer = await connection.request('test', [])
  if (answer.ok) return
  fail(answer.code ?? 'SERVICE_TEST_FAILED', {
    what: `the service on ${server} refuses the new files in its own test`,
    fact: outputText(answer),
    state: `${server} was brought back to what it had; it was not reloaded`,
    next: 'onecert apply',
  })
}

async function reload(connection: Connection, service: Service, server: string, mayStart: boolean): Promise<void> {
  const answer = await connection.request('reload', [])
  if (answer.ok && answer.facts.get('status') === '0') return
  if (mayStart && service.start.length > 0) {
    const started = await connection.request('start', [])
    if (started.ok && started.facts.get('status') === '0') return
  }
  const status = answer.facts.get('status') ?? '?'
  // A deadline that passed (124) says nothing about the service: verify decides.
  if (status === '124') return
  const denied = status === '126' || status === '127'
  fail(denied ? 'SERVICE_COMMAND_DENIED' : answer.ok ? 'RELOAD_FAILED' : (answer.code ?? 'RELOAD_FAILED'), {
    what: `the reload on ${server} failed`,
    fact: `${service.reload.join(' ')} ended with ${status}: ${outputText(answer)}`,
  })
}

async function commit(task: ServerRollout, connection: Connection, name: string): Promise<void> {
  const { server } = task.planned.placement
  const answer = expectOk(
    await connection.request('commit', [name, String(generationsKept)]),
    `committing on ${server.name}`,
    `the watchdog of ${server.name} brought the old certificate back`,
  )
  const file = task.service.layout === 'combined' ? 'combined.pem' : 'privkey.pem'
  for (const purged of (answer.get('purged') ?? '').split(',').filter(Boolean)) {
    await task.ledger.effect(
      {
        effect: 'purge',
        rollout: task.rollout,
        lineage: task.generation.lineage,
        server: server.name,
        path: `${server.directory}/${task.generation.lineage}/${purged}/${file}`,
      },
      async () => undefined,
    )
  }
}

async function undo(task: ServerRollout, connection: Connection): Promise<void> {
  const { server } = task.planned.placement
  expectOk(await connection.request('rollback', []), `rolling back ${server.name}`, 'see onecert status')
  await connection.request('reload', [])
}

/** The old generation again, proved; or quarantine, with the commands for a person. */
async function rollBack(
  task: ServerRollout,
  session: Session,
  connection: Connection,
  look: Look,
  before: ReadonlyMap<string, string>,
  cause: OnecertError,
): Promise<void> {
  const { server } = task.planned.placement
  const fields = {
    rollout: task.rollout,
    lineage: task.generation.lineage,
    server: server.name,
    token: task.token,
  } as const
  // Nothing was reloaded: the running service still has the old files, and a reload could only do harm.
  const untouched: readonly ErrorCode[] = ['SERVICE_TEST_FAILED', 'CONFIG_TEST_TIMEOUT']
  try {
    await task.ledger.effect({ ...fields, effect: 'rollback', reason: cause.code }, async () => {
      expectOk(await connection.request('rollback', []), `rolling back ${server.name}`, '')
      if (!untouched.includes(cause.code)) {
        const reloaded = await connection.request('reload', [])
        if (reloaded.facts.get('status') !== '0' && before.size > 0) await connection.request('start', [])
      }
      for (const endpoint of endpointsOf(task.planned.placement)) {
        const old = before.get(endpoint.name)
        if (old) await verify([endpoint], { chain: [old] }, look, task.clock, verifyLimits)
      }
    })
    session.state = 'rolledBack'
  } catch (thrown) {
    const error = asOnecertError(thrown)
    session.state = error.code === 'SSH_LOST' || error.code === 'RECEIVER_SILENT' ? 'unreachable' : 'quarantined'
    const base = `${server.directory}/${task.generation.lineage}`
    throw new OnecertError('ROLLBACK_FAILED', {
      what: `${server.name} could not be brought back`,
      fact: `${cause.failure.what}; then ${error.failure.what}`,
      state:
        session.state === 'unreachable'
          ? `the watchdog of ${server.name} brings the old certificate back within ${task.confirmWithinMs / 1000} s`
          : `both generations are on ${server.name}, in ${base}`,
      next: `on ${server.name}: ls -l ${base}/current; ${task.service.test.join(' ')}; ${task.service.reload.join(' ')}`,
      cause,
    })
  }
}

const nothingSwapped = (server: string) => `nothing that ${server} serves was changed`

function expectOk(answer: Answer, what: string, state: string): ReadonlyMap<string, string> {
  if (answer.ok) return answer.facts
  const facts = [...answer.facts].map(([name, value]) => `${name} ${value}`).join(', ')
  fail(answer.code ?? 'RECEIVER_PROTOCOL', {
    what: `${what} failed`,
    fact: [outputText(answer), quote(facts, 200)].filter(Boolean).join('; '),
    ...(state && { state }),
    next: 'onecert apply',
  })
}

function outputText(answer: Answer): string {
  return answer.output.map((line) => quote(line, 200)).join('\n')
}
