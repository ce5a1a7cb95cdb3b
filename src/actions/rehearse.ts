import { randomBytes } from 'node:crypto'
import { fail } from '../base/errors.ts'
import type { AcmeIssuer, Certificate } from '../fleet/fleet.ts'
import { openAccount } from '../issue/acme/registration.ts'
import type { Answerable } from '../issue/solver.ts'
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
 * What a renewal needs, without the CA: answers to challenges that nobody gave are put in place, looked at as the CA would
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
  const proofs: Answerable[] = []
  for (const written of certificate.names) {
    const wildcard = written.startsWith('*.')
    const solver = solvers.all.find(({ type }) => !wildcard || type === 'dns-01')
    if (!solver) {
      fail('ACME_NO_CHALLENGE', {
        what: `no way to prove ${written}`,
        fact: `the issuer ${spec.name} has ${solvers.all.map(({ type }) => type).join(', ')}`,
        state: 'the CA was not asked',
        next: 'add "dns-01" to the issuer: a wildcard is proved by DNS alone',
      })
    }
    const token = randomBytes(32).toString('base64url')
    const name = wildcard ? written.slice(2) : written
    const answer = { name, type: solver.type, token, keyAuthorization: client.keyAuthorization(token) }
    proofs.push({ ...answer, name: written })
    try {
      await solver.present(answer, context.signal)
    } finally {
      await solver.remove(answer)
    }
  }
  return { certificate: certificate.name, issuer: spec.name, proofs }
}
