import type { Clock } from '../../base/clock.ts'
import { fail, quote } from '../../base/errors.ts'
import type { AcmeClient } from './client.ts'
import type { AcmeOrder, Authorization } from './resources.ts'
import { backOffMs, startTimeLimit } from './time-limit.ts'

/** How long, and by which clock, the CA is waited for. */
export interface Waiting {
  /** The fleet file's name of the issuer, for messages. */
  readonly issuer: string
  readonly clock: Clock
  readonly signal: AbortSignal
  readonly withinMs: number
}

/**
 * The order once it is no longer in the hands of the CA: `ready` to be finalized, `valid` or `invalid`. What `invalid`
 * means is in its problem.
 * @throws OnecertError ACME_UNDECIDED, and what order() throws
 */
export function settledOrder(client: Pick<AcmeClient, 'order'>, url: string, waiting: Waiting): Promise<AcmeOrder> {
  const settled = ({ status }: AcmeOrder) => status !== 'pending' && status !== 'processing'
  return whenSettled(
    () => client.order(url),
    settled,
    (order) => `the order for ${quote(order.names.join(', '), 120)}`,
    waiting,
  )
}

/**
 * The authorization once the CA has looked: any status but `pending`. Why it is `invalid` is in the problem of a challenge.
 * @throws OnecertError ACME_UNDECIDED, and what authorization() throws
 */
export function settledAuthorization(
  client: Pick<AcmeClient, 'authorization'>,
  url: string,
  waiting: Waiting,
): Promise<Authorization> {
  const settled = ({ status }: Authorization) => status !== 'pending'
  return whenSettled(
    () => client.authorization(url),
    settled,
    ({ name }) => `the proof for ${quote(name, 253)}`,
    waiting,
  )
}

interface Polled {
  readonly status: string
  readonly retryAfterMs: number | null
}

/** A CA that says 0, or a date gone by, is not asked without a pause. */
const pauseMinMs = 100

async function whenSettled<T extends Polled>(
  ask: () => Promise<T>,
  settled: (resource: T) => boolean,
  name: (resource: T) => string,
  { issuer, clock, signal, withinMs }: Waiting,
): Promise<T> {
  const limit = startTimeLimit(clock, signal, withinMs)
  for (let attempt = 0; ; attempt++) {
    const resource = await ask()
    if (settled(resource)) return resource
    // RFC 8555 section 7.5.1.
    const pauseMs = Math.max(pauseMinMs, resource.retryAfterMs ?? backOffMs(attempt))
    if (await limit.pause(pauseMs)) continue
    fail('ACME_UNDECIDED', {
      what: `${quote(issuer)} has not decided on ${name(resource)}`,
      fact: `its status is ${resource.status} after ${Math.round(limit.elapsedMs() / 1000)} s; the limit is ${withinMs / 1000} s`,
      state: 'the CA keeps it, and goes on',
      next: 'run it again later: it goes on from there',
    })
  }
}
