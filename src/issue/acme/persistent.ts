import { z } from 'zod'
import type { AccountBinding, PersistentChallenge } from '../solver.ts'
import type { Directory, PersistTerms } from './resources.ts'

/** What a dns-persist-01 record names us by. */
export interface AccountIdentity {
  /** Of the account. */
  readonly url: string
  /** Of its key, and of those before it (RFC 7638, Base64url). */
  readonly thumbprints: readonly [string, ...string[]]
}

/** draft-ietf-acme-dns-persist-02 section 3.1: A-labels, lower case, no dot at the end. */
const issuerDomainName = z
  .string()
  .max(253)
  .regex(/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)*$/)
const issuerDomainNamesMax = 10
export const issuerDomainNames = z
  .tuple([issuerDomainName], issuerDomainName)
  .refine(({ length }) => length <= issuerDomainNamesMax)

/** It becomes a value in a record: of the characters of a URI (RFC 3986 section 2), but the one that ends a value. */
export const recordUri = z.string().regex(/^[A-Za-z0-9:/?#[\]@!$&'()*+,=._~%-]{1,512}$/)

type Wanted = Pick<PersistentChallenge, 'name' | 'wildcard'>

/** The challenge of an authorization, or why the draft forbids to take it (section 3.2). Pure. */
export function persistentChallenge(
  wanted: Wanted,
  { issuerDomainNames: names, hashed, accountUri }: PersistTerms,
  { issuerDomainNames: told, caaIdentities, accountHashPrefix: prefix }: Directory['meta'],
  account: AccountIdentity,
): PersistentChallenge | string {
  const challenge = (binding: AccountBinding) =>
    ({ ...wanted, type: 'dns-persist-01', issuerDomains: names, account: binding }) as const
  if (!hashed) return challenge({ kind: 'url', url: accountUri ?? account.url })
  if (prefix === undefined) return 'its directory has no accountHashPrefix'
  const withheld = told.find((name) => !names.includes(name))
  if (withheld !== undefined) return `its directory has the issuer domain name ${withheld}, the challenge does not`
  const identities = caaIdentities.map((each) => each.toLowerCase().replace(/\.$/, ''))
  const foreign = identities.length > 0 ? names.find((name) => !identities.includes(name)) : undefined
  if (foreign !== undefined) return `the issuer domain name ${foreign} is not among its CAA identities`
  return challenge({ kind: 'hash', prefix, ...account })
}

/**
 * The same before there is an order (section 4.5); null where the directory does not say enough. A CA of draft -00 or -01
 * names no issuer domain there: its CAA identities are taken, as other clients do.
 */
export function persistentBeforeOrder(
  wanted: Wanted,
  { issuerDomainNames: [name, ...names], caaIdentities, accountHashPrefix: prefix }: Directory['meta'],
  account: AccountIdentity,
): PersistentChallenge | null {
  const type = 'dns-persist-01'
  if (name !== undefined && prefix !== undefined)
    return { ...wanted, type, issuerDomains: [name, ...names], account: { kind: 'hash', prefix, ...account } }
  const { data } = issuerDomainNames.safeParse(caaIdentities)
  return data && prefix === undefined
    ? { ...wanted, type, issuerDomains: data, account: { kind: 'url', url: account.url } }
    : null
}
