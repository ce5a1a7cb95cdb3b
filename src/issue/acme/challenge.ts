import { z } from 'zod'
import { httpsUrl, readDocument } from './document.ts'
import { issuerDomainNames, recordUri } from './persistent.ts'
import { problemSchema } from './problem.ts'
import type { Authorization, Challenge, PersistTerms } from './resources.ts'
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
    // A draft may change: what cannot be read is no obstacle to other ways.
    issuerDomainNames: issuerDomainNames.optional().catch(undefined),
    'issuer-domain-names': issuerDomainNames.optional().catch(undefined),
    accounturi: recordUri.optional().catch(undefined),
    error: problemSchema.nullish(),
  })
  .transform(({ error, token, issuerDomainNames: names, 'issuer-domain-names': older, accounturi, ...rest }) => ({
    ...rest,
    token: token ?? null,
    persist: termsOf(names, older, accounturi),
    problem: error ?? null,
  }))

const authorizationShape = z.object({
  status: z.enum(['pending', 'valid', 'invalid', 'deactivated', 'expired', 'revoked']),
  identifier: z.object({ value: z.string() }),
  wildcard: z.boolean().default(false),
  challenges: z.array(challengeShape).max(challengesMax),
})

type Names = z.infer<typeof issuerDomainNames>

function termsOf(
  names: Names | undefined,
  older: Names | undefined,
  accountUri: string | undefined,
): PersistTerms | null {
  if (names) return { issuerDomainNames: names, hashed: true, accountUri: null }
  return older ? { issuerDomainNames: older, hashed: false, accountUri: accountUri ?? null } : null
}

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
