import { randomBytes } from 'node:crypto'
import { fail, type OnecertError } from '../base/errors.ts'
import type { AcmeIssuer, Certificate } from '../fleet/fleet.ts'
import { persistentBeforeOrder } from '../issue/acme/persistent.ts'
import { nextForWildcard } from '../issue/acme/proof.ts'
import { accountIdentity, openAccount } from '../issue/acme/registration.ts'
import { type Answerable, type PersistentChallenge, solversFor } from '../issue/solver.ts'
import { acmeTools } from './account.ts'
import type { Context } from './context.ts'
import { withLease } from './lease.ts'
import { needOf } from './need.ts'
import { notYet } from './renewal.ts'
import { openSolvers } from './solvers.ts'

export interface Rehearsed {
  readonly certificate: Certificate
  /** Why a new certificate would be asked for; null: it would not. */
  readonly wanted: string | null
  /** When it is, or was, due; null: there is none yet. */
  readonly dueMs: number | null
  /** The generation that is there; null: none. */
  readonly generation: number | null
  /** The issuer that would be asked. */
  readonly issuer: string
  /** Until when that one is not asked, and why. */
  readonly later: OnecertError | null
  /** What was tried out; empty where nothing would be asked for, or no ACME CA. */
  readonly rehearsals: readonly Rehearsal[]
}

export interface Rehearsal {
  readonly issuer: string
  /** Names and how each would be proved. */
  readonly proofs: readonly Pick<Answerable, 'name' | 'type'>[]
}

/**
 * What a renewal would do, and, where one is due or asked for, what it needs, without an order: answers to challenges that
 * nobody gave are put in place, looked at as the CA would do it, and taken away. With each of the issuers.
 * @throws OnecertError what a renewal would fail with
 */
export async function rehearse(
  context: Context,
  certificate: Certificate,
  asked: { readonly force: boolean; readonly rekey: boolean },
): Promise<Rehearsed> {
  const { newest, renewal, spec, need } = await needOf(context, certificate, asked)
  const early = asked.force || asked.rekey ? null : notYet(spec.name, newest, renewal, context.clock.nowMs())
  const rehearsals: Rehearsal[] = []
  if (need.reason !== null) {
    for (const each of certificate.issuers.flatMap((name) => context.fleet.issuers.get(name) ?? []))
      if (each.kind === 'acme')
        rehearsals.push(await withLease(context, certificate.name, () => prove(context, each, certificate)))
  }
  return {
    certificate,
    wanted: need.reason,
    dueMs: need.dueMs,
    generation: newest?.number ?? null,
    issuer: spec.name,
    later: need.reason === null ? null : early,
    rehearsals,
  }
}

async function prove(context: Context, spec: AcmeIssuer, certificate: Certificate): Promise<Rehearsal> {
  const { client } = await openAccount(spec, await acmeTools(context))
  await using solvers = await openSolvers(context, spec, certificate)
  const proofs: Rehearsal['proofs'][number][] = []
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
    const name = wildcard ? written.slice(2) : written
    const [solver] = solversFor(solvers.all, name, wildcard)
    if (!solver) {
      fail('ACME_NO_CHALLENGE', {
        what: `no way to prove ${written}`,
        fact: `the issuer ${spec.name} has ${solvers.all.map(({ type }) => type).join(', ')}`,
        state: 'the CA was not asked',
        next: nextForWildcard,
      })
    }
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
  return { issuer: spec.name, proofs }
}
