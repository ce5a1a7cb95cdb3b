import { fail, OnecertError, quote } from '../base/errors.ts'
import { type Answer, type Connection, factList, outputText } from '../reach/connection.ts'
import type { Service } from '../services/service.ts'
import type { Found } from './decide.ts'
import { generationName } from './generation.ts'
import type { Sealed } from './progress.ts'
import { effectOf, type ServerRollout, type Session } from './task.ts'
import { ticketHash, ticketSetName } from './tickets.ts'

const generationsKept = 1

export async function begin(task: ServerRollout, connection: Connection): Promise<Found> {
  const { generation, hashes, service } = task
  const { server } = task.planned.placement
  const answer = await connection.request('begin', [
    generation.lineage,
    task.rollout,
    String(task.token),
    generation.spki,
    String(Math.ceil(task.confirmWithinMs / 1000)),
    hashes.byLayout[service.layout],
    hashes.key,
  ])
  const facts = expectOk(answer, `beginning on ${server.name}`, nothingSwapped(server.name))
  const word = (name: string) => {
    const value = facts.get(name)
    return value === undefined || value === '-' || value === '' ? null : value
  }
  await recordZeroed(task, facts)
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
    linked: facts.get('linked') === 'yes',
    have: [...new Set(factList(facts, 'have'))],
    tickets: word('set') === null ? null : { set: word('set') ?? '', hash: word('tickets') ?? '' },
    clockMs,
  }
}

/** Ticket keys that the server has overwritten and deleted. */
export async function recordZeroed(task: ServerRollout, facts: ReadonlyMap<string, string>): Promise<void> {
  const { server } = task.planned.placement
  for (const set of factList(facts, 'zeroed')) {
    const path = `${server.directory}/${task.generation.lineage}/${set}`
    await task.ledger.done({ ...effectOf(task), effect: 'purge', path })
  }
}

/** Whether the server should have other ticket keys than those that it has linked. */
export function wantsTickets({ tickets, service }: ServerRollout, found: Found): boolean {
  if (tickets === null || service.ticketKeys === null) return false
  return found.tickets?.hash !== ticketHash(tickets, service.ticketKeys)
}

/** Writes the ticket keys; the service comes to read them with the swap. @returns their name there */
export async function carryTickets(
  task: ServerRollout,
  session: Session,
  connection: Connection,
  found: Found,
): Promise<string | null> {
  const { tickets, service, ledger, generation } = task
  if (tickets === null || service.ticketKeys === null) return null
  const { server } = task.planned.placement
  const hash = ticketHash(tickets, service.ticketKeys)
  const name = ticketSetName(hash, found.tickets?.set ?? null)
  const copy = {
    ...effectOf(task),
    effect: 'ticket-copy',
    path: `${server.directory}/${generation.lineage}/${name}`,
    ticketSet: tickets.number,
    ticketHash: hash,
    way: connection.way,
  } as const
  await ledger.effect(copy, async () => {
    session.ticketKeysSent = true
    const answer = await connection.request('tickets', [name, hash], { payload: tickets.lines })
    expectOk(answer, `carrying ticket keys to ${server.name}`, nothingSwapped(server.name))
  })
  return name
}

/** The fleet file asks for none: those that are there go, where the service can do without them. */
export async function dropTickets(task: ServerRollout, connection: Connection): Promise<boolean> {
  const { server } = task.planned.placement
  const answer = await connection.request('drop', [])
  if (answer.ok) {
    await recordZeroed(task, answer.facts)
    return true
  }
  task.notice(
    `${server.name} keeps its ticket keys: ${task.service.kind} still names them (${outputText(answer)}); take those lines out there, then: onecert apply`,
  )
  return false
}

/** What lies at the explicit paths becomes a generation with the same bytes; its key copy is in the record from then on. */
export async function adopt(task: ServerRollout, connection: Connection, name: string): Promise<void> {
  const { ledger, generation, service } = task
  const { server } = task.planned.placement
  const fields = { ...effectOf(task), path: `${server.directory}/${generation.lineage}/${name}` }
  const copy = {
    ...fields,
    effect: 'key-copy',
    generation: 0,
    path: `${fields.path}/${keyFile(service)}`,
    way: `found on ${server.name}`,
  } as const
  const facts = await ledger.effect({ ...fields, effect: 'adopt' }, () =>
    ledger.effect(copy, async () =>
      expectOk(
        await connection.request('adopt', [name]),
        `adopting the files of ${server.name}`,
        nothingSwapped(server.name),
      ),
    ),
  )
  // Whose key it is, only the server could tell.
  const spki = facts.get('spki') ?? '-'
  if (spki !== '-') await ledger.done({ ...copy, spki })
  // Where it was there is a link now.
  const files = server.files.get(generation.lineage)
  const path = files?.key ?? files?.combined
  if (path) await ledger.done({ ...fields, effect: 'purge', path })
}

function keyFile({ layout }: Service): string {
  return layout === 'pair' ? 'privkey.pem' : 'combined.pem'
}

export async function stage(
  task: ServerRollout,
  session: Session,
  connection: Connection,
  found: Found,
  reuse: string | null,
): Promise<string> {
  const { generation, hashes, ledger } = task
  const { server } = task.planned.placement
  const name = generationName(generation.number, found.have)
  const fields = { ...effectOf(task), generation: generation.number }
  await ledger.effect({ ...fields, effect: 'stage', fingerprint: generation.fingerprint }, async () => {
    const copy = {
      ...fields,
      effect: 'key-copy',
      spki: generation.spki,
      path: `${server.directory}/${generation.lineage}/${name}/${keyFile(task.service)}`,
      way: reuse === null ? connection.way : `on ${server.name}`,
    } as const
    await ledger.effect(copy, async () => {
      session.keySent = reuse === null
      const answers = await connection.requests([
        { verb: 'stage', payload: generation.chainPem },
        reuse === null ? { verb: 'key', payload: generation.keyPem } : { verb: 'reuse', words: [reuse] },
        { verb: 'seal', words: [name, hashes.chain, hashes.key, generation.spki] },
      ])
      for (const answer of answers) expectOk(answer, `staging on ${server.name}`, nothingSwapped(server.name))
    })
  })
  return name
}

/**
 * Lets the service test its configuration with the new files, and swaps. Where that test cannot be sealed off, it comes
 * behind the swap.
 * @returns `refused`: why the service does not take the files that were swapped in
 * @throws OnecertError nothing was swapped; SERVICE_TEST_FAILED too
 */
export async function swap(
  task: ServerRollout,
  connection: Connection,
  name: string,
  { ticketSet, found }: { readonly ticketSet: string | null; readonly found: Found },
): Promise<{ readonly sealed: Sealed; readonly refused: OnecertError | null }> {
  const { server } = task.planned.placement
  const confirmSeconds = String(Math.ceil(task.confirmWithinMs / 1000))
  // A configuration that names ticket keys which are not there, yet or any more, passes no test before the swap.
  const tries = ticketSet === null || found.tickets !== null
  const answers = await connection.requests([
    ...(tries ? [{ verb: 'try', words: [name] }] : []),
    { verb: 'swap', words: [name, confirmSeconds, ...(ticketSet === null ? [] : [ticketSet])] },
    // Ticket keys are no part of what is tried: with them, it is tested again.
    { verb: 'test', words: ticketSet === null ? [name] : [] },
  ])
  const [tried, swapped, tested] = tries ? answers : [undefined, ...answers]
  const sealed = sealedOf(tried)
  if (tried && !tried.ok && sealed !== 'none') throw refusal(server.name, tried, nothingSwapped(server.name))
  for (const answer of [tried, swapped].filter((each) => each !== undefined))
    expectOk(answer, `swapping on ${server.name}`, nothingSwapped(server.name))
  const refused = tested && !tested.ok
  return {
    sealed,
    refused: refused
      ? refusal(server.name, tested, `${server.name} was brought back to what it had; it was not reloaded`)
      : null,
  }
}

function sealedOf(tried: Answer | undefined): Sealed {
  const word = tried?.facts.get('sealed')
  return word === 'namespace' || word === 'copy' ? word : 'none'
}

function refusal(server: string, answer: Answer, state: string): OnecertError {
  return new OnecertError(answer.code ?? 'SERVICE_TEST_FAILED', {
    what: `the service on ${server} refuses the new files in its own test`,
    fact: outputText(answer),
    state,
    next: 'onecert apply',
  })
}

/**
 * The service's test of what was there before, after the new files had failed it.
 * @throws OnecertError SERVICE_ALREADY_BROKEN: a reload would have activated somebody else's edit (TST-2)
 */
export async function testAsItWas(task: ServerRollout, connection: Connection): Promise<void> {
  const { server } = task.planned.placement
  const answer = await connection.request('test', [])
  if (answer.code !== 'SERVICE_TEST_FAILED') return
  fail('SERVICE_ALREADY_BROKEN', {
    what: `the configuration of ${task.service.kind} on ${server.name} fails its own test, also with the files that it had`,
    fact: outputText(answer),
    state: nothingSwapped(server.name),
    next: `mend it on ${server.name} (${task.service.test.join(' ')}), then: onecert apply`,
  })
}

/** @returns how the service took the files: `reload`, `start`, or `runtime` where no reload was needed */
export async function reload(
  connection: Connection,
  service: Service,
  server: string,
  mayStart: boolean,
): Promise<string> {
  const answer = await connection.request('reload', [])
  const way = answer.facts.get('way') ?? 'reload'
  if (answer.ok && answer.facts.get('status') === '0') return way
  if (way === 'runtime') {
    fail('RELOAD_FAILED', {
      what: `the running ${service.kind} on ${server} refused the new files`,
      fact: `its Runtime API (${service.socket}) said: ${outputText(answer)}`,
      ...asBefore(server, service),
    })
  }
  if (mayStart && service.start.length > 0) {
    const started = await connection.request('start', [])
    if (started.ok && started.facts.get('status') === '0') return 'start'
  }
  const status = answer.facts.get('status') ?? '?'
  // A deadline that passed (124) says nothing about the service: verify decides.
  if (status === '124') return way
  const denied = status === '126' || status === '127'
  fail(denied ? 'SERVICE_COMMAND_DENIED' : answer.ok ? 'RELOAD_FAILED' : (answer.code ?? 'RELOAD_FAILED'), {
    what: `the reload on ${server} failed`,
    fact: `${service.reload.join(' ')} ended with ${status}: ${outputText(answer)}`,
    ...asBefore(server, service),
  })
}

/** What can be said behind a failed reload once the files are back; where they are not, another error says so. */
const asBefore = (server: string, { reload }: Service) => ({
  state: `the files that were there before are back on ${server}`,
  next: `on ${server}: ${reload.join(' ')}; when that ends with 0: onecert apply`,
})

export async function commit(task: ServerRollout, connection: Connection, name: string): Promise<void> {
  const { server } = task.planned.placement
  const answer = expectOk(
    await connection.request('commit', [name, String(generationsKept)]),
    `committing on ${server.name}`,
    `the watchdog of ${server.name} brought the old certificate back`,
  )
  for (const purged of factList(answer, 'purged')) {
    const path = `${server.directory}/${task.generation.lineage}/${purged}/${keyFile(task.service)}`
    await task.ledger.done({ ...effectOf(task), effect: 'purge', path })
  }
  await recordZeroed(task, answer)
}

export async function undo(task: ServerRollout, connection: Connection): Promise<void> {
  const { server } = task.planned.placement
  const answer = await connection.request('rollback', [])
  await recordZeroed(task, expectOk(answer, `rolling back ${server.name}`, 'see onecert status'))
  await connection.request('reload', [])
}

const nothingSwapped = (server: string) => `nothing that ${server} serves was changed`

export function expectOk(answer: Answer, what: string, state: string): ReadonlyMap<string, string> {
  if (answer.ok) return answer.facts
  const facts = [...answer.facts].map(([name, value]) => `${name} ${value}`).join(', ')
  fail(answer.code ?? 'RECEIVER_PROTOCOL', {
    what: `${what} failed`,
    fact: [outputText(answer), quote(facts, 200)].filter(Boolean).join('; '),
    ...(state && { state }),
    next: 'onecert apply',
  })
}
