import { z } from 'zod'
import { httpsUrl, readDocument } from './document.ts'
import { problemSchema } from './problem.ts'
import type { Authorization, Challenge } from './resources.ts'
import { type Answer, retryAfterMs } from './transport.ts'

const challengesMax = 100

const challengeShape = z
  .object({
    url: httpsUrl,
    type: z.string(),
    status: z.enum(['pending', 'processing', 'valid', 'invalid']),
    // RFC 8555 section 8.3: base64url. It becomes a part of a path and of a file name.
    token: z
      .string()
      .regex(/^[A-Za-z0-9_-]{1,256}$/, 'expected a token in base64url')
      .nullish(),
    error: problemSchema.nullish(),
  })
  .transform(({ error, token, ...rest }) => ({ ...rest, token: token ?? null, problem: error ?? null }))

const authorizationShape = z.object({
  status: z.enum(['pending', 'valid', 'invalid', 'deactivated', 'expired', 'revoked']),
  identifier: z.object({ value: z.string() }),
  wildcard: z.boolean().default(false),
  challenges: z.array(challengeShape).max(challengesMax),
})

export function readChallenge(answer: Answer, issuer: string): Challenge {
  return readDocument(answer, challengeShape, { issuer, what: 'a challenge' })
}

export function readAuthorization(answer: Answer, issuer: string, url: string, nowMs: number): Authorization {
  const read = readDocument(answer, authorizationShape, { issuer, what: 'an authorization' })
  return {
    url,
    status: read.status,
    name: read.identifier.value,
    wildcard: read.wildcard,
    challenges: read.challenges,
    retryAfterMs: retryAfterMs(answer, nowMs),
  }
}
