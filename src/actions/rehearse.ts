import { randomBytes } from 'node:crypto'
import { fail } from '../base/errors.ts'
import type { AcmeIssuer, Certificate } from '../fleet/fleet.ts'
import { persistentBeforeOrder } from '../issue/acme/persistent.ts'
import { nextForWildcard, provesWildcards } from '../issue/acme/proof.ts'
import { accountIdentity, openAccount } from '../issue/acme/registration.ts'
import type { Answerable, PersistentChallenge } from '../issue/solver.ts'
import { acmeTools } from './account.ts'
import type { Context } from './context.ts'
import { withLease } from './lease.ts'
import { openSolvers } from './solvers.ts'

export interface Rehearsed {
  readonly certificate: string
  readonly issuer: string
  /** Names and how each would be proved. */
  readonly proofs: readonly Pick<Answerable, 'name' | 'type'>[]
}

/**
 * What a renewal needs, without an order: answers to challenges that nobody gave are put in place, looked at as the CA would
 * do it, and taken away.
 * @throws OnecertError what a renewal would fail with
 */
export async function rehearse(context: Context, certificate: Certificate): Promise<Rehearsed[]> {
  const specs = certificate.issuers.flatMap((name) => context.fleet.issuers.get(name) ?? [])
  const rehearsed: Rehearsed[] = []
  for (const spec of specs) {
    if (spec.kind === 'acme')
      rehearsed.push(await withLease(context, certificate.name, () => prove(context, spec, certificate)))
  }
  return rehearsed
}

async function prove(context: Context, spec: AcmeIssuer, certificate: Certificate): Promise<Rehearsed> {
  const { client } = await openAccount(spec, await acmeTools(context))
  await using solvers = await openSolvers(context, spec, certificate)
  const proofs: Rehearsed['proofs'][number][] = []
  /** What it has to say is in the CA's directory; nothing else is asked of the CA. */
  const persistent = async (wanted: Pick<PersistentChallenge, 'name' | 'wildcard'>) => {
    const { meta } = await client.directory()
    const account = await accountIdentity(client, spec.name, context.store)
    return (
      persistentBeforeOrder(wanted, meta, account) ??
      fail('ACME_NO_CHALLENGE', {
        what: `what the record of ${wanted.name} has to say cannot be rehearsed`,
        fact: `the directory of ${spec.name} names no issuer domain`,
        state: 'nothing was ordered',
        next: 'the first order tells: onecert issue --force',
      })
    )
  }
  for (const written of certificate.names) {
    const wildcard = written.startsWith('*.')
    const solver = solvers.all.find((each) => !wildcard || provesWildcards(each))
    if (!solver) {
      fail('ACME_NO_CHALLENGE', {
        what: `no way to prove ${written}`,
        fact: `the issuer ${spec.name} has ${solvers.all.map(({ type }) => type).join(', ')}`,
        state: 'the CA was not asked',
        next: nextForWildcard,
      })
    }
    const name = wildcard ? written.slice(2) : written
    const token = randomBytes(32).toString('base64url')
    const answer =
      solver.type === 'dns-persist-01'
        ? await persistent({ name, wildcard: certificate.names.includes(`*.${name}`) })
        : { name, type: solver.type, token, keyAuthorization: client.keyAuthorization(token) }
    proofs.push({ name: written, type: solver.type })
    try {
      await solver.present(answer, context.signal)
    } finally {
      await solver.remove(answer)
    }
  }
  return { certificate: certificate.name, issuer: spec.name, proofs }
}
