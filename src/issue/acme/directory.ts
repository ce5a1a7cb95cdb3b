import { z } from 'zod'
import { fail, quote } from '../../base/errors.ts'
import { httpsUrl, parseJson, sayAnswer } from './document.ts'
import { issuerDomainNames, recordUri } from './persistent.ts'
import type { Directory } from './resources.ts'
import { type Answer, mediaType } from './transport.ts'

const shape = z.object({
  newNonce: httpsUrl,
  newAccount: httpsUrl,
  newOrder: httpsUrl,
  revokeCert: httpsUrl,
  keyChange: httpsUrl,
  renewalInfo: httpsUrl.optional(),
  meta: z
    .object({
      termsOfService: z.string().optional(),
      externalAccountRequired: z.boolean().default(false),
      caaIdentities: z.array(z.string()).default([]),
      // A draft: what does not conform counts as missing (draft-ietf-acme-dns-persist-02 section 3.2).
      issuerDomainNames: z
        .union([issuerDomainNames, z.tuple([])])
        .catch([])
        .default([]),
      accountHashPrefix: recordUri.optional().catch(undefined),
      profiles: z.record(z.string(), z.string()).default({}),
    })
    .prefault({}),
})

interface Named {
  readonly issuer: string
  readonly directoryUrl: string
}

/** @throws OnecertError ACME_NOT_A_DIRECTORY */
export function checkDirectoryUrl({ issuer, directoryUrl }: Named): void {
  const url = URL.parse(directoryUrl)
  if (url?.protocol === 'https:') return
  notADirectory(
    { issuer, directoryUrl },
    url === null ? 'it is not a URL' : `it begins with ${quote(url.protocol)}//, not https://`,
  )
}

/**
 * RFC 8555 section 7.1.1.
 * @throws OnecertError ACME_NOT_A_DIRECTORY
 */
export function readDirectory(answer: Answer, named: Named): Directory {
  const location = answer.headers.location
  if (answer.status !== 200) {
    notADirectory(named, sayAnswer(answer) + (location === undefined ? '' : `, it points to ${quote(location, 200)}`))
  }
  const json = mediaType(answer) === 'application/json' ? parseJson(answer.body) : undefined
  if (json === undefined) notADirectory(named, sayAnswer(answer))
  const { data, error } = shape.safeParse(json)
  if (error === undefined) return withoutUndefined(data)
  const wrong = error.issues.map(({ path, message }) => `${quote(path.join('.'))}: ${message}`)
  return notADirectory(named, `${wrong.slice(0, 5).join('; ')}; ${sayAnswer(answer)}`)
}

function withoutUndefined({ renewalInfo, meta, ...urls }: z.infer<typeof shape>): Directory {
  const { termsOfService, accountHashPrefix, ...rest } = meta
  return {
    ...urls,
    ...(renewalInfo === undefined ? {} : { renewalInfo }),
    meta: {
      ...rest,
      ...(termsOfService === undefined ? {} : { termsOfService }),
      ...(accountHashPrefix === undefined ? {} : { accountHashPrefix }),
    },
  }
}

function notADirectory({ issuer, directoryUrl }: Named, fact: string): never {
  fail('ACME_NOT_A_DIRECTORY', {
    what: `${quote(directoryUrl, 200)}, the address of ${quote(issuer)}, is not the directory of an ACME CA`,
    fact,
    state: 'the CA was asked for nothing',
    next: 'take the directory URL from the documentation of the CA',
  })
}
