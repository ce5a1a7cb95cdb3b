import { z } from 'zod'
import type { ErrorCode } from '../../base/catalogue.ts'
import { OnecertError, quote } from '../../base/errors.ts'
import type { Problem } from './resources.ts'

const namespace = 'urn:ietf:params:acme:error:'
const detailCharactersMax = 300
const subproblemsMax = 100

/** What a CA says against a request; the cause of the error that is thrown. */
export class AcmeProblem extends Error {
  readonly problem: Problem
  /** Not to be asked again before then (Retry-After), ms since 1970; null where the CA did not say. */
  readonly notBeforeMs: number | null

  constructor(problem: Problem, notBeforeMs: number | null) {
    super(sayProblem(problem))
    this.problem = problem
    this.notBeforeMs = notBeforeMs
  }
}

const causesMax = 8

/** What the CA said, where that is why something failed; else null. */
export function acmeProblemOf(thrown: unknown): AcmeProblem | null {
  for (let error = thrown, depth = 0; error instanceof Error && depth < causesMax; error = error.cause, depth++)
    if (error instanceof AcmeProblem) return error
  return null
}

// A document that tells of a failure is read as far as it can be: what is wrong with it is not what has to be told.
const members = {
  type: z
    .string()
    .catch('about:blank')
    .transform((type) => (type.startsWith(namespace) ? type.slice(namespace.length) : type)),
  detail: z.string().catch(''),
  status: z.number().nullable().catch(null),
}
const subproblem = z
  .object({ ...members, identifier: z.object({ value: z.string() }).optional().catch(undefined) })
  .transform(({ identifier, ...rest }) => ({ ...rest, subproblems: [], name: identifier?.value ?? null }))
export const problemSchema: z.ZodType<Problem> = z.object({
  ...members,
  subproblems: z
    .array(z.unknown())
    .catch([])
    .transform((all) => all.slice(0, subproblemsMax).flatMap((each) => subproblem.safeParse(each).data ?? [])),
})

/** RFC 8555 section 6.7, and those that RFC 9773 and draft-ietf-acme-profiles add; any other one is ACME_REFUSED. */
const codes: Readonly<Record<string, ErrorCode>> = {
  accountDoesNotExist: 'ACME_ACCOUNT_UNKNOWN',
  caa: 'ACME_CAA',
  connection: 'ACME_CHALLENGE_FAILED',
  dns: 'ACME_NXDOMAIN',
  externalAccountRequired: 'ACME_EAB_REQUIRED',
  incorrectResponse: 'ACME_CHALLENGE_FAILED',
  invalidProfile: 'ACME_PROFILE_UNKNOWN',
  rateLimited: 'ACME_RATE_LIMITED',
  rejectedIdentifier: 'ACME_UNSUPPORTED_IDENTIFIER',
  tls: 'ACME_CHALLENGE_FAILED',
  unsupportedIdentifier: 'ACME_UNSUPPORTED_IDENTIFIER',
  userActionRequired: 'ACME_TERMS',
}

/** Where the problem was found: in the answer to a request, or in a challenge, an authorization or an order. */
export type ProblemPlace = 'answer' | 'validation'

function codeOf({ type, detail, status, subproblems }: Problem, place: ProblemPlace): ErrorCode {
  if (type === 'unauthorized') {
    if (place === 'validation') return 'ACME_CHALLENGE_FAILED'
    // RFC 8555 section 7.3.6 wants 401 for an account that was deactivated. Boulder and Pebble answer 403 and say so.
    const deactivated = status === 401 || /\baccount\b.*\b(deactivated|status "revoked")/i.test(detail)
    return deactivated ? 'ACME_ACCOUNT_DEACTIVATED' : 'ACME_REFUSED'
  }
  // There is one type for all that DNS can do.
  if (type === 'dns' && /DNSSEC|\bbogus\b/i.test(detail)) return 'ACME_DNSSEC'
  if (type === 'compound' || (!Object.hasOwn(codes, type) && subproblems.length > 0)) {
    const [first, ...others] = subproblems.map((each) => codeOf(each, place))
    return first !== undefined && others.every((other) => other === first) ? first : 'ACME_REFUSED'
  }
  return (Object.hasOwn(codes, type) ? codes[type] : undefined) ?? 'ACME_REFUSED'
}

export interface Refused {
  /** The fleet file's name of the issuer. */
  readonly issuer: string
  /** After "refuses to": `make an order`. Quoted already where it holds text from outside. */
  readonly asked: string
  readonly problem: Problem
  readonly place: ProblemPlace
  readonly notBeforeMs?: number | null
  /** Of the terms that have to be agreed to. */
  readonly termsUrl?: string | undefined
}

/** The error of the catalogue for what a CA says: name by name where it does, all its texts quoted. */
export function refusal(refused: Refused): OnecertError {
  const { issuer, asked, problem, place, notBeforeMs = null, termsUrl } = refused
  const code = codeOf(problem, place)
  const when = notBeforeMs === null ? '' : `; not before ${new Date(notBeforeMs).toISOString()}`
  const terms = code === 'ACME_TERMS' && termsUrl !== undefined ? `; the terms: ${quote(termsUrl, 200)}` : ''
  const also = problem.subproblems.map(
    (each) =>
      new OnecertError(codeOf(each, place), {
        what: `${quote(issuer)} refuses ${each.name === null ? 'a part of it' : quote(each.name, 253)}`,
        fact: sayProblem(each),
      }),
  )
  return new OnecertError(code, {
    what: `${quote(issuer)} refuses to ${asked}`,
    fact: `${sayProblem(problem)}${when}${terms}`,
    ...(place === 'answer' ? { state: 'the CA did nothing of it' } : {}),
    next: steps[code] ?? 'read what the CA says, and correct that',
    ...(also.length > 0 ? { also } : {}),
    cause: new AcmeProblem(problem, notBeforeMs),
  })
}

export function sayProblem({ type, detail, status }: Problem): string {
  const number = status === null ? '' : `${status} `
  return `${number}${quote(type)}: ${detail === '' ? 'the CA gives no reason' : quote(detail, detailCharactersMax)}`
}

const steps: Partial<Record<ErrorCode, string>> = {
  ACME_RATE_LIMITED: 'wait until then; asking more often makes it longer',
  ACME_ACCOUNT_UNKNOWN: 'check that the account key in the vault is the one for this CA, or register again',
  ACME_ACCOUNT_DEACTIVATED: 'onecert account ISSUER --deactivate; the next run then makes a new one, with a new key',
  ACME_EAB_REQUIRED:
    'get a key id and an HMAC key for external account binding from the CA, and name them at the issuer',
  ACME_TERMS: 'read the terms; onecert account ISSUER registers, and agrees to them',
  ACME_PROFILE_UNKNOWN: 'take one of the profiles that the CA has, or none',
  ACME_UNSUPPORTED_IDENTIFIER: 'take that name out of the certificate, or get it from another CA',
  ACME_CAA: 'let the CAA record of that name, or of the nearest one above it, name this CA',
  ACME_DNSSEC: 'repair the signatures of the zone: delv and dnsviz.net show where the chain breaks',
  ACME_NXDOMAIN: 'let the name servers of that name answer, also from outside',
  ACME_CHALLENGE_FAILED: 'look at what answers there, from outside: an old A or AAAA record, a proxy, a captive portal',
}
