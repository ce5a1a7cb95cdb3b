import { asOnecertError, fail, OnecertError, quote, withOthers } from '../../base/errors.ts'
import { type Answerable, type PersistentChallenge, type Solver, solversFor } from '../solver.ts'
import type { AcmeClient } from './client.ts'
import { insist } from './insist.ts'
import { type AccountIdentity, persistentChallenge } from './persistent.ts'
import { refusal, sayProblem } from './problem.ts'
import type { AcmeOrder, Authorization, Challenge, Directory } from './resources.ts'
import { settledAuthorization, type Waiting } from './settled.ts'

export interface ProofTools extends Waiting {
  readonly solvers: readonly Solver[]
  readonly account: AccountIdentity
  /** Those that were ordered: a CA that asks for the proof of another one is not answered. */
  readonly names: readonly string[]
  /**
   * What lies around, or is about to: on disk before anything is put anywhere, so that the next run takes away what a crash
   * or a removal that failed left.
   */
  readonly notePresented: (answers: readonly Answerable[]) => Promise<void>
}

interface Chosen {
  readonly authorization: Authorization
  readonly challengeUrl: string
  readonly solver: Solver
  readonly answer: Answerable
}

/**
 * Proves all names of an order that are not proved yet (RFC 8555 section 7.5): each answer is in place and was seen there
 * before the CA is told to look, and is taken away whatever happens.
 * @throws OnecertError of the first name that failed, with those of the others; then none of the order's pending
 * authorizations is left either (section 7.5.2)
 */
export async function proveNames(client: AcmeClient, order: AcmeOrder, tools: ProofTools): Promise<void> {
  const authorizations = await Promise.all(order.authorizations.map((url) => client.authorization(url)))
  const open = authorizations.filter(({ status }) => status !== 'valid')
  if (open.length === 0) return
  try {
    const { meta } = await client.directory()
    const chosen = open.map((authorization) => choose(client, authorization, meta, tools))
    await present(client, chosen, tools)
  } catch (error) {
    if (!goesOn(error, tools.signal)) await abandonOrder(client, order)
    throw error
  }
}

async function present(client: AcmeClient, chosen: readonly Chosen[], tools: ProofTools): Promise<void> {
  const answers = chosen.map(({ answer }) => answer)
  await tools.notePresented(answers)
  try {
    await all(chosen, ({ solver, answer }) => solver.present(answer, tools.signal))
    await all(chosen, async (each) => {
      await insist(
        () => client.respond(each.challengeUrl),
        () => respondedTo(client, each),
        tools,
      )
      await judged(client, each, tools)
    })
  } finally {
    // Who lost the lease has lost the answers to somebody else, who may have put the same ones.
    if (!lostLease(tools.signal)) await tools.notePresented(await takeAway(answers, tools.solvers))
  }
}

/** What stopped has decided nothing: the next run goes on with the same order. */
export function goesOn(error: unknown, signal: AbortSignal): boolean {
  if (signal.aborted) return true
  const { failure, retryable } = asOnecertError(error)
  return retryable && (failure.also ?? []).every((each) => each.retryable)
}

function lostLease(signal: AbortSignal): boolean {
  return signal.aborted && asOnecertError(signal.reason).code === 'LEASE_LOST'
}

/** @returns those that could not be taken away, for the next run */
export async function takeAway(answers: readonly Answerable[], solvers: readonly Solver[]): Promise<Answerable[]> {
  const left = await Promise.all(
    answers.map(async (answer) => {
      const solver = solvers.find(({ type }) => type === answer.type)
      // A way that the issuer does not have any more cannot be gone back either.
      if (!solver) return []
      return solver.remove(answer).then(
        () => [],
        () => [answer],
      )
    }),
  )
  return left.flat()
}

/** Nothing of it can be used any more; the CA does not count it as pending. */
async function abandonOrder(client: AcmeClient, order: AcmeOrder): Promise<void> {
  await Promise.allSettled(
    order.authorizations.map(async (url) => {
      const { status } = await client.authorization(url)
      if (status === 'pending') await client.deactivateAuthorization(url)
    }),
  )
}

function choose(
  client: AcmeClient,
  authorization: Authorization,
  meta: Directory['meta'],
  { names, solvers, issuer, account }: ProofTools,
): Chosen {
  const { name, wildcard, status, challenges } = authorization
  if (!names.includes(wildcard ? `*.${name}` : name)) {
    fail('ACME_PROTOCOL', {
      what: `${quote(issuer)} wants a proof for ${quote(name, 253)}, which was not ordered`,
      fact: `ordered: ${names.join(', ')}`,
      state: 'nothing was put anywhere',
    })
  }
  if (status !== 'pending') {
    const problem = challenges.find((each) => each.problem)?.problem
    fail('ACME_CHALLENGE_FAILED', {
      what: `the CA has judged ${name} already`,
      fact: problem ? sayProblem(problem) : `its authorization is ${status}`,
      state: 'what is served was not touched',
      next: 'when the cause is mended: onecert issue --force',
    })
  }
  // Where both are wanted, one record lets the CA issue for both.
  const wanted = { name, wildcard: wildcard || names.includes(`*.${name}`) }
  const unusable: string[] = []
  for (const solver of solversFor(solvers, name, wildcard)) {
    const challenge = challenges.find(({ type }) => type === solver.type)
    if (!challenge) continue
    const answer = answerable(client, solver.type, challenge, wanted, meta, account)
    if (typeof answer !== 'string') return { authorization, challengeUrl: challenge.url, solver, answer }
    unusable.push(`${solver.type}, but ${answer}`)
  }
  const offered = challenges.map(({ type }) => type).join(', ')
  const usable = solvers.map(({ type }) => type).join(', ')
  return fail('ACME_NO_CHALLENGE', {
    what: `no way to prove ${wildcard ? '*.' : ''}${name}`,
    fact: [`the CA offers ${quote(offered) || 'nothing'}; the issuer has ${usable}`, ...unusable].join('; '),
    state: 'what is served was not touched',
    next: wildcard ? nextForWildcard : 'add one of those to the issuer',
  })
}

export const nextForWildcard = 'add "dns-01" to the issuer: a wildcard is proved by DNS alone'

/** Or why this challenge cannot be answered. */
function answerable(
  client: AcmeClient,
  type: Answerable['type'],
  { token, persist }: Challenge,
  wanted: Pick<PersistentChallenge, 'name' | 'wildcard'>,
  meta: Directory['meta'],
  account: AccountIdentity,
): Answerable | string {
  if (type === 'dns-persist-01')
    return persist ? persistentChallenge(wanted, persist, meta, account) : 'it names no issuer domain that we can read'
  if (token === null) return 'it has no token'
  return { name: wanted.name, type, token, keyAuthorization: client.keyAuthorization(token) }
}

async function respondedTo(client: AcmeClient, { authorization, challengeUrl }: Chosen): Promise<Challenge | null> {
  const { challenges } = await client.authorization(authorization.url)
  const challenge = challenges.find(({ url }) => url === challengeUrl)
  return challenge && challenge.status !== 'pending' ? challenge : null
}

async function judged(client: AcmeClient, { authorization, answer }: Chosen, tools: ProofTools): Promise<void> {
  const settled = await settledAuthorization(client, authorization.url, tools)
  if (settled.status === 'valid') return
  const problem = settled.challenges.find(({ type, problem }) => type === answer.type && problem)?.problem
  const unknown = { type: settled.status, detail: '', status: null, subproblems: [] }
  const { issuer } = tools
  const told = refusal({
    issuer,
    asked: `take the ${answer.type} answer for ${answer.name}`,
    problem: problem ?? unknown,
    place: 'validation',
  })
  throw new OnecertError(told.code, {
    ...told.failure,
    state: 'we had seen the right answer at each place just before; what is served was not touched',
    cause: told.cause,
  })
}

/** All of them, to their ends; the first failure with the others beside it. */
async function all<Item>(items: readonly Item[], work: (item: Item) => Promise<unknown>): Promise<void> {
  const ended = await Promise.allSettled(items.map(work))
  const [first, ...others] = ended.flatMap((each) => (each.status === 'rejected' ? [asOnecertError(each.reason)] : []))
  if (first) throw withOthers(first, others)
}
