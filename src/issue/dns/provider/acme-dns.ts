import { z } from 'zod'
import { fail, quote } from '../../../base/errors.ts'
import { Secret } from '../../../base/secret.ts'
import { credentialBad, readCredential } from '../../../dns/credential.ts'
import { sameName } from '../../../dns/message.ts'
import { type ApiEndpoint, apiRefused, apiUrl, callApi } from './https.ts'
import type { DnsProvider } from './provider.ts'

export interface AcmeDnsSettings {
  /** What `/register` answered: one account, or several under any keys. */
  readonly accountFile: string
  readonly api: ApiEndpoint
}

/** The server keeps the two newest values of an account. */
const valuesKept = 2

const account = z.object({
  username: z.string(),
  password: z.string().transform((text) => new Secret(text)),
  fulldomain: z.string(),
  subdomain: z.string(),
})
type Account = z.output<typeof account>
const accounts = z.union([account.transform((one) => [one]), z.record(z.string(), account).transform(Object.values)])

/**
 * acme-dns: a name server for nothing but challenges. `_acme-challenge.<name>` is a CNAME to the account's full domain.
 * Two names of one order may share an account; a third value pushes the first out.
 */
export function acmeDns(settings: AcmeDnsSettings): DnsProvider {
  /** Sending a value again would push out the other one. */
  const kept = new Map<string, readonly string[]>()
  return {
    async add(record, signal) {
      const { username, password, fulldomain, subdomain } = await accountOf(record.name, settings)
      const before = kept.get(fulldomain) ?? []
      if (before.includes(record.value)) return
      const answer = await callApi(
        settings.api,
        {
          method: 'POST',
          path: '/update',
          headers: { 'x-api-user': username, 'x-api-key': password.reveal(), 'content-type': 'application/json' },
          body: JSON.stringify({ subdomain, txt: record.value }),
        },
        signal,
      )
      if (answer.status !== 200) {
        apiRefused(apiUrl(settings.api, '').host, `the value of ${record.name}`, answer.status, answer.body)
      }
      kept.set(fulldomain, [record.value, ...before].slice(0, valuesKept))
    },
    /** There is no call for it: newer values take its place. */
    async remove() {},
  }
}

async function accountOf(name: string, { accountFile }: AcmeDnsSettings): Promise<Account> {
  const parsed = accounts.safeParse(jsonOf((await readCredential(accountFile)).reveal()))
  if (!parsed.success) {
    credentialBad(
      accountFile,
      'JSON with username, password, fulldomain and subdomain is wanted',
      'put the answer of /register into it',
    )
  }
  const found = parsed.data.find(({ fulldomain }) => sameName(fulldomain, name))
  if (found) return found
  const known = parsed.data.map(({ fulldomain }) => quote(fulldomain)).join(', ')
  return fail('DNS_PROVIDER_FAILED', {
    what: `${quote(name)} is no name of an acme-dns account`,
    fact: `${accountFile} has ${known === '' ? 'no account' : known}`,
    state: 'nothing was written',
    next: `make it a CNAME: ${quote(name)} CNAME ${known === '' ? 'the full domain of an account' : known}`,
  })
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
