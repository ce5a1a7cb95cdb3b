import type { KeyObject } from 'node:crypto'
import { fail, quote } from '../../base/errors.ts'
import type { Secret } from '../../base/secret.ts'
import { brokenProtocol, parseJson, sayAnswer } from './document.ts'
import { jwkOf, signJws } from './jws.ts'
import { makeNonces, nonceOf } from './nonces.ts'
import { problemSchema, refusal, sayProblem } from './problem.ts'
import type { Problem } from './resources.ts'
import { backOffMs, type TimeLimit } from './time-limit.ts'
import {
  type Answer,
  linksOf,
  mediaType,
  type Outgoing,
  retryAfterMs,
  type Transport,
  TransportFailure,
} from './transport.ts'

/** What the CA is asked for. */
export interface Asked {
  /** After "to", for messages: `make an order`. Text from outside in it is quoted. */
  readonly to: string
  /** A second time does no harm. Anything else is never sent again once the CA may have got it. */
  readonly repeatable: boolean
}

/** Who signs: an account, or, where there is none yet, the key itself (RFC 8555 section 6.2). */
export interface Signer {
  readonly key: Secret<KeyObject>
  readonly accountUrl: string | null
}

export interface Session {
  /** Any answer below 500; without a signature. */
  fetch(asked: Asked, outgoing: Outgoing, limit: TimeLimit): Promise<Answer>
  /** A signed request. `payload` null: POST-as-GET. */
  post(asked: Asked, signed: Signed, limit: TimeLimit): Promise<Answer>
  /** The answer, where its status is 2xx; else throws what the CA says. */
  succeeded(asked: Asked, answer: Answer, limit: TimeLimit): Answer
}

export interface Signed {
  readonly url: string
  readonly payload: unknown
  readonly signer: Signer
  readonly accept?: string
}

interface SessionSettings {
  /** The fleet file's name of the issuer. */
  readonly issuer: string
  readonly transport: Transport
  newNonceUrl(limit: TimeLimit): Promise<string>
}

/** A nonce may be refused again and again without a fault on either side; from here on there is a pause before each. */
const noncesWithoutPause = 5

/** Whether the CA may have got, and done, what failed with ACME_UNREACHABLE: its state is to be read before asking again. */
export function mayHaveArrived(thrown: unknown): boolean {
  const { cause } = thrown as { cause?: unknown }
  return cause instanceof TransportFailure && cause.mayHaveArrived
}

/** Requests with their retries: until they are answered or the time is over. */
export function openSession({ issuer, transport, newNonceUrl }: SessionSettings): Session {
  const nonces = makeNonces()

  async function send(outgoing: Outgoing, limit: TimeLimit): Promise<Answer> {
    const answer = await transport.send(outgoing, limit.remainingMs())
    nonces.keep(answer)
    return answer
  }

  async function untilAnswered(asked: Asked, limit: TimeLimit, once: () => Promise<Answer>): Promise<Answer> {
    for (let attempt = 0; ; attempt++) {
      const outcome = await once().catch((thrown: unknown) => {
        if (thrown instanceof TransportFailure) return thrown
        throw thrown
      })
      const pauseMs = backOffMs(attempt)
      if (outcome instanceof TransportFailure) {
        if (outcome.kind !== 'lost') hopeless(outcome)
        const again = asked.repeatable || !outcome.mayHaveArrived
        if (!again || !(await limit.pauseBeforeRequest(pauseMs))) unreachable(asked, outcome, attempt + 1, limit)
        continue
      }
      if (outcome.status < 500 || outcome.status === 501 || problemOf(outcome)?.type === 'rateLimited') return outcome
      // Who says when to come back has done nothing yet (RFC 9110 section 15.6.4). Any other 5xx may come after the deed.
      const askedBackMs = retryAfterMs(outcome, limit.nowMs())
      const undone = outcome.status === 503 && askedBackMs !== null
      const again = asked.repeatable || undone
      if (!again || !(await limit.pauseBeforeRequest(Math.max(askedBackMs ?? 0, pauseMs)))) {
        unreachable(asked, new TransportFailure('lost', sayFailure(outcome), !undone), attempt + 1, limit)
      }
    }
  }

  async function freshNonce(limit: TimeLimit): Promise<string> {
    const url = await newNonceUrl(limit)
    // RFC 8555 section 7.2.
    const answer = await untilAnswered({ to: 'give a nonce', repeatable: true }, limit, () =>
      // Not into the pool: another request may empty it before this one takes its nonce.
      transport.send({ method: 'HEAD', url }, limit.remainingMs()),
    )
    return nonceOf(answer) ?? brokenProtocol({ issuer, what: 'a nonce' }, sayAnswer(answer))
  }

  async function post(asked: Asked, { url, payload, signer, accept }: Signed, limit: TimeLimit): Promise<Answer> {
    const identity = signer.accountUrl === null ? { jwk: jwkOf(signer.key) } : { kid: signer.accountUrl }
    for (let refused = 0; ; ) {
      const answer = await untilAnswered(asked, limit, async () => {
        const nonce = nonces.take() ?? (await freshNonce(limit))
        const body = JSON.stringify(signJws(signer.key, { ...identity, nonce, url }, payload))
        return send({ method: 'POST', url, body, ...(accept === undefined ? {} : { accept }) }, limit)
      })
      if (problemOf(answer)?.type !== 'badNonce') return succeeded(asked, answer, limit)
      // RFC 8555 section 6.5: nothing was done, and the answer has a nonce that will do.
      nonces.forget()
      nonces.keep(answer)
      refused += 1
      const pauseMs = refused <= noncesWithoutPause ? 0 : backOffMs(refused - noncesWithoutPause - 1)
      if (!(await limit.pauseBeforeRequest(pauseMs))) {
        const failure = new TransportFailure('lost', `it refused ${refused} nonces in a row`, false)
        unreachable(asked, failure, refused, limit)
      }
    }
  }

  function succeeded({ to }: Asked, answer: Answer, limit: TimeLimit): Answer {
    if (answer.status >= 200 && answer.status <= 299) return answer
    const problem = problemOf(answer)
    if (problem === null) brokenProtocol({ issuer, what: 'an answer of an ACME CA' }, sayAnswer(answer))
    const waitMs = retryAfterMs(answer, limit.nowMs())
    throw refusal({
      issuer,
      asked: to,
      problem,
      place: 'answer',
      notBeforeMs: waitMs === null ? null : limit.nowMs() + waitMs,
      termsUrl: linksOf(answer, 'terms-of-service')[0],
    })
  }

  function unreachable({ to }: Asked, failure: TransportFailure, attempts: number, limit: TimeLimit): never {
    const tried = attempts === 1 ? '' : `; attempts: ${attempts} in ${Math.round(limit.elapsedMs() / 1000)} s`
    fail('ACME_UNREACHABLE', {
      what: `${quote(issuer)} gave no answer that helps; it was to ${to}`,
      fact: `${failure.message}${tried}`,
      state: failure.mayHaveArrived ? 'the CA may have got this and done it' : 'the CA did nothing of it',
      next: 'run it again later: what the CA has is read first',
      cause: failure,
    })
  }

  function hopeless(failure: TransportFailure): never {
    if (failure.kind === 'too-large') brokenProtocol({ issuer, what: 'an answer of an ACME CA' }, failure.message)
    if (failure.kind === 'untrusted') {
      fail('ACME_UNTRUSTED', {
        what: `the HTTPS certificate of ${quote(issuer)} itself is not trusted`,
        fact: failure.message,
        state: 'nothing was sent',
        next: 'name the root of a private CA at the issuer in the fleet file; with a public CA, look at who is in between',
        cause: failure,
      })
    }
    fail('ACME_ADDRESS_REFUSED', {
      what: `${quote(issuer)} is a public CA, and its name leads into a private network`,
      fact: failure.message,
      state: 'nothing was sent',
      next: 'name the root of a private CA at the issuer in the fleet file; with a public CA, look at what answers its name',
      cause: failure,
    })
  }

  return {
    fetch: (asked, outgoing, limit) => untilAnswered(asked, limit, () => send(outgoing, limit)),
    post,
    succeeded,
  }
}

/** RFC 8555 section 6.7; null where the answer tells of none. */
function problemOf(answer: Answer): Problem | null {
  const { status } = answer
  if (status < 400) return null
  const json = /^application\/(problem\+)?json$/.test(mediaType(answer)) ? parseJson(answer.body) : undefined
  const { data } = problemSchema.safeParse(json)
  if (data !== undefined) return { ...data, status }
  // What stands in front of a CA may count as well (RFC 6585 section 4).
  return status === 429 ? { type: 'rateLimited', detail: '', status, subproblems: [] } : null
}

function sayFailure(answer: Answer): string {
  const problem = problemOf(answer)
  return problem === null ? sayAnswer(answer) : sayProblem(problem)
}
