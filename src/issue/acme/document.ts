import { z } from 'zod'
import { fail, quote } from '../../base/errors.ts'
import { type Answer, mediaType } from './transport.ts'

/** What is fetched goes over HTTPS (RFC 8555 section 6.1). */
export const httpsUrl = z.string().refine((text) => URL.parse(text)?.protocol === 'https:', 'expected an https URL')

/** RFC 3339, as milliseconds since 1970. */
export const timestampMs = z
  .string()
  .regex(/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?(Z|[+-]\d{2}:\d{2})$/i, 'expected a time of RFC 3339')
  .transform((text) => Date.parse(text))
  .refine(Number.isFinite, 'expected a time of RFC 3339')

/**
 * The JSON document of an answer, read into a shape. Fields that the shape does not know are left out.
 * @throws OnecertError ACME_PROTOCOL
 */
export function readDocument<T>(answer: Answer, shape: z.ZodType<T>, { issuer, what }: Expected): T {
  const breaks = (fact: string) => brokenProtocol({ issuer, what }, fact)
  const type = mediaType(answer)
  if (type !== 'application/json') breaks(`its content type is ${quote(type) || 'missing'}; ${sayAnswer(answer)}`)
  const json = parseJson(answer.body)
  if (json === undefined) breaks(`it is no JSON; ${sayAnswer(answer)}`)
  const { data, error } = shape.safeParse(json)
  if (error === undefined) return data
  const [issue] = error.issues
  return breaks(`${quote(issue?.path.join('.') ?? '')}: ${issue?.message ?? 'not the right shape'}`)
}

export interface Expected {
  /** The fleet file's name of the issuer. */
  readonly issuer: string
  /** `an order`. */
  readonly what: string
}

export function brokenProtocol({ issuer, what }: Expected, fact: string): never {
  fail('ACME_PROTOCOL', {
    what: `${quote(issuer)} gave something that is not ${what}`,
    fact,
    next: 'try again later; if it stays, tell the CA',
  })
}

/** undefined for what is no JSON in UTF-8, which JSON itself cannot give. */
export function parseJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as unknown
  } catch {
    return undefined
  }
}

/** Status, content type and the first bytes, for a message. */
export function sayAnswer(answer: Answer): string {
  const begin = Buffer.from(answer.body.subarray(0, 80)).toString('utf8')
  const type = answer.headers['content-type']
  return `status ${answer.status}, ${type === undefined ? 'no content type' : quote(type)}, it begins "${quote(begin)}"`
}
