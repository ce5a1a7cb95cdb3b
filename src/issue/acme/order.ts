import { z } from 'zod'
import { locationOf } from './account.ts'
import { httpsUrl, readDocument, timestampMs } from './document.ts'
import { problemSchema } from './problem.ts'
import type { AcmeOrder } from './resources.ts'
import { type Answer, retryAfterMs } from './transport.ts'

const listMax = 1000

/**
 * RFC 8555 section 7.1.6 makes an order invalid whose authorizations were given up, have expired or were revoked; Pebble
 * calls it by the status of the authorization.
 */
const ended = z.enum(['deactivated', 'expired', 'revoked']).transform(() => 'invalid' as const)
const status = z.union(
  [z.enum(['pending', 'ready', 'processing', 'valid', 'invalid']), ended],
  'is no status of an order',
)

const shape = z.object({
  status,
  expires: timestampMs.nullish(),
  identifiers: z.array(z.object({ value: z.string() })).max(listMax),
  authorizations: z.array(httpsUrl).max(listMax),
  finalize: httpsUrl,
  certificate: httpsUrl.nullish(),
  error: problemSchema.nullish(),
})

const listShape = z.object({ orders: z.array(httpsUrl).max(listMax) })

/** One page of the list (RFC 8555 section 7.1.2.1). */
export function readOrders(answer: Answer, issuer: string): string[] {
  return readDocument(answer, listShape, { issuer, what: 'a list of orders' }).orders
}

/** `url`: where it was asked for; null: Location says it (RFC 8555 section 7.4). */
export function readOrder(answer: Answer, issuer: string, url: string | null, nowMs: number): AcmeOrder {
  const expected = { issuer, what: 'an order' }
  const { status, authorizations, finalize, ...read } = readDocument(answer, shape, expected)
  return {
    url: url ?? locationOf(answer, expected),
    status,
    expiresAtMs: read.expires ?? null,
    names: read.identifiers.map(({ value }) => value),
    authorizations,
    finalize,
    certificate: read.certificate ?? null,
    problem: read.error ?? null,
    retryAfterMs: retryAfterMs(answer, nowMs),
  }
}
