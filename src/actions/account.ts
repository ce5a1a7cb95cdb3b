import { asOnecertError, fail, quote } from '../base/errors.ts'
import { closest } from '../base/similar.ts'
import type { AcmeIssuer } from '../fleet/fleet.ts'
import { type AccountIdentity, persistentBeforeOrder } from '../issue/acme/persistent.ts'
import { accountIdentity, accounts, beginAnew, openRegistered, rollOver } from '../issue/acme/registration.ts'
import type { Directory } from '../issue/acme/resources.ts'
import type { AcmeTools } from '../issue/acme/tools.ts'
import { persistentRecord } from '../issue/dns/persist.ts'
import type { TxtRecord } from '../issue/dns/provider/provider.ts'
import type { Context } from './context.ts'
import { withLeases } from './lease.ts'

export interface AccountStatus {
  readonly issuer: string
  readonly directory: string
  readonly url: string
  readonly status: string
  readonly contact: readonly string[]
  /** Of the account key: what stateless answers to http-01 challenges are made of (RFC 8555 section 8.1). Public. */
  readonly thumbprint: string
  readonly termsOfService: string | null
  readonly profiles: Readonly<Record<string, string>>
  /**
   * What dns-persist-01 needs in the DNS, for all names that the fleet file has from this issuer. null: the directory of the CA
   * does not say enough, the first order does. None where the account is no more.
   */
  readonly records: readonly TxtRecord[] | null
}

export type AccountChange = 'none' | 'contact' | 'rollover' | 'deactivate'

/**
 * The account of an ACME issuer, registered now where there is none.
 * @param change `contact`: as the fleet file says; `rollover`: a new key; `deactivate`: for ever
 */
export async function account(context: Context, name: string, change: AccountChange): Promise<AccountStatus> {
  const spec = acmeIssuerOf(context, name)
  const effect = { effect: 'account', reason: `${change === 'none' ? 'look' : change} at ${name}` } as const
  return withLeases(context, leasesFor(context, name, change), (signal) =>
    context.ledger.effect(effect, async () => {
      const tools = await acmeTools({ ...context, signal })
      const client = change === 'rollover' ? await rollOver(spec, tools) : await openRegistered(spec, tools)
      if (change === 'contact') await client.updateContact(spec.email.map((each) => `mailto:${each}`))
      const found = await client.account().catch((error: unknown) => {
        // Deactivated already, by a run that was killed or by the CA: what is left is to begin anew.
        if (change !== 'deactivate' || asOnecertError(error).code !== 'ACME_ACCOUNT_DEACTIVATED') throw error
        return null
      })
      const { meta } = await client.directory()
      const url = found?.url ?? (await accounts(context.store).read(name))?.url ?? ''
      if (change === 'deactivate') {
        if (found) await client.deactivate()
        await beginAnew(spec, tools)
      }
      return {
        issuer: name,
        directory: spec.directory,
        url,
        status: change === 'deactivate' || !found ? 'deactivated' : found.status,
        contact: found?.contact ?? [],
        thumbprint: client.keyAuthorization('').slice(1),
        termsOfService: meta.termsOfService ?? null,
        profiles: meta.profiles,
        records:
          spec.dnsPersist01 && found && change !== 'deactivate'
            ? recordsOf(context, name, meta, await accountIdentity(client, name, context.store))
            : [],
      }
    }),
  )
}

/** What runs that use the account of an issuer are kept apart by, beside the leases of their lineages. */
export const accountLease = (issuer: string) => `acme..${issuer}`

/**
 * A run that issues signs with the account key, and its answers to challenges are made of it: the key does not change, and
 * the account does not go, while there is one. A look takes the account's lease too: behind a change of the key that was cut
 * off it finds out which one the CA has, and notes that.
 */
function leasesFor({ fleet }: Context, issuer: string, change: AccountChange): string[] {
  const users = [...fleet.certificates.values()].filter(({ issuers }) => issuers.includes(issuer))
  const ends = change === 'rollover' || change === 'deactivate'
  return [accountLease(issuer), ...(ends ? users.map(({ name }) => name) : [])]
}

/** One for each name, and for a name and all below it: a CA need not look at the names above. */
function recordsOf(
  { fleet }: Context,
  issuer: string,
  meta: Directory['meta'],
  account: AccountIdentity,
): readonly TxtRecord[] | null {
  const certificates = [...fleet.certificates.values()].filter(({ issuers }) => issuers.includes(issuer))
  const names = new Set(certificates.flatMap((each) => each.names))
  const records = [...new Set([...names].map((name) => name.replace(/^\*\./, '')))].map((name) => {
    const challenge = persistentBeforeOrder({ name, wildcard: names.has(`*.${name}`) }, meta, account)
    return challenge && persistentRecord(challenge)
  })
  return records.some((record) => record === null) ? null : records.filter((record) => record !== null)
}

export async function acmeTools({ vault, store, clock, signal }: Context): Promise<AcmeTools> {
  return { keys: await vault(), notes: store, clock, signal }
}

/** @throws OnecertError USAGE with a did-you-mean */
export function acmeIssuerOf({ fleet }: Context, name: string): AcmeIssuer {
  const spec = fleet.issuers.get(name)
  if (spec?.kind === 'acme') return spec
  const known = [...fleet.issuers.values()].filter(({ kind }) => kind === 'acme').map((each) => each.name)
  const near = closest(name, known)
  return fail('USAGE', {
    what: spec ? `the issuer ${name} is no ACME CA` : `no issuer "${quote(name)}" in the fleet file`,
    fact: near ? `did you mean "${near}"?` : `ACME issuers: ${known.slice(0, 10).join(', ') || 'none'}`,
  })
}
