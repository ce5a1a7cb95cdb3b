import { z } from 'zod'
import { fail, quote } from '../../base/errors.ts'
import { Secret } from '../../base/secret.ts'
import { brokenProtocol, httpsUrl, readDocument } from './document.ts'
import { type FlatJws, type Jwk, macJws } from './jws.ts'
import type { Account } from './resources.ts'
import type { Answer } from './transport.ts'

const shape = z.object({
  status: z.enum(['valid', 'deactivated', 'revoked']),
  contact: z.array(z.string()).default([]),
  orders: httpsUrl.nullish(),
})

/** `url`: where it was asked for; null: Location says it (RFC 8555 section 7.3). */
export function readAccount(answer: Answer, issuer: string, url: string | null): Account {
  const expected = { issuer, what: 'an account' }
  const { orders, ...account } = readDocument(answer, shape, expected)
  return { url: url ?? locationOf(answer, expected), ...account, ordersUrl: orders ?? null }
}

/** @throws OnecertError ACME_PROTOCOL */
export function locationOf({ headers }: Answer, expected: { readonly issuer: string; readonly what: string }): string {
  const { data, error } = httpsUrl.safeParse(headers.location)
  if (error !== undefined)
    brokenProtocol(expected, `Location is ${quote(headers.location ?? 'missing')}, not an https URL`)
  return data
}

export interface ExternalAccount {
  readonly kid: string
  /** Base64url, as CAs hand it out; Base64 is taken as well. */
  readonly hmacKey: Secret<string>
}

/** RFC 8555 section 7.3.4. */
export function bindExternalAccount(eab: ExternalAccount, jwk: Jwk, newAccountUrl: string, issuer: string): FlatJws {
  const text = eab.hmacKey.reveal().trim()
  if (!/^[A-Za-z0-9+/_-]+={0,2}$/.test(text)) {
    fail('CONFIG_BAD_VALUE', {
      what: `the HMAC key for external account binding at ${quote(issuer)} is not Base64`,
      fact: `it has ${text.length} characters, or other ones than Base64 has`,
      state: 'the CA was asked for nothing',
      next: 'copy it again from the CA, whole and alone',
    })
  }
  const key = new Secret<Uint8Array>(Buffer.from(text, 'base64url'))
  return macJws(key, { kid: eab.kid, url: newAccountUrl }, jwk)
}
