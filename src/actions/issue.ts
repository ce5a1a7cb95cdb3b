import { asOnecertError, fail, OnecertError, retold, withOthers } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'
import type { Certificate } from '../fleet/fleet.ts'
import { issuerOf } from '../issue/issuers.ts'
import type { Need } from '../issue/renewal.ts'
import { assessBundle, fullchainPem } from '../pki/bundle.ts'
import { parsePrivateKey } from '../pki/key.ts'
import type { Generation } from '../rollout/generation.ts'
import type { GenerationRow } from '../store/store.ts'
import { chainOf, leafOf } from './chain.ts'
import type { Context } from './context.ts'
import { hasNewFiles, needOf } from './need.ts'
import { noteFailure, noteRun, notYet } from './renewal.ts'
import { openSolvers } from './solvers.ts'

const hurriedWithinMs = 30_000

export interface IssueOptions {
  readonly force: boolean
  /** A new key is wanted now: as `force`. */
  readonly rekey: boolean
  /** No CA is asked for a certificate: see `wanted`. */
  readonly dryRun?: boolean
}

export interface IssuedGeneration {
  readonly generation: Generation
  /** Why a new certificate was issued; null: the newest generation stands. */
  readonly issued: string | null
  /** A new one is wanted and could not be had; the newest is usable still, and stands meanwhile. */
  readonly failure: OnecertError | null
  /** In a dry run: why a new one would be ordered; the generation is then what it would be, as far as that is known. */
  readonly wanted: string | null
  /** What a newer one lacks that was seen and could not be taken yet. */
  readonly waiting: string | null
  /** When the newest generation of before is, or was, due; null: there was none. */
  readonly dueMs: number | null
}

/**
 * The newest generation of a lineage, issued now where none will do. Whatever it is, it was assessed before it is
 * returned: a bundle with a defect never gets near a server.
 * @throws OnecertError PEM_*, CHAIN_*, CERT_*, KEY_*, P12_*, VAULT_*; ACME_*, CHALLENGE_* and DNS_* where there is nothing
 * usable yet
 */
export async function issueCertificate(
  context: Context,
  certificate: Certificate,
  options: IssueOptions,
): Promise<IssuedGeneration> {
  const { store, ledger, clock } = context
  const vault = await context.vault()
  const nowMs = clock.nowMs()
  const lineage = certificate.name
  const { newest, renewal, spec, need } = await needOf(context, certificate, options)
  const { dueMs } = need
  if (!options.dryRun) await noteRun(context, lineage, renewal)
  const stands = async (
    row: GenerationRow,
    { failure = null, waiting = null }: { failure?: OnecertError | null; waiting?: string | null } = {},
  ): Promise<IssuedGeneration> => ({
    generation: await standing(context, certificate, row, waiting).catch((defect: unknown) => {
      // Why there is no better one comes first.
      throw failure ? withOthers(failure, [asOnecertError(defect)]) : defect
    }),
    issued: null,
    failure,
    wanted: null,
    waiting,
    dueMs,
  })
  if (!hasNewFiles(spec) && need.reason === null && newest) return stands(newest)

  if (spec.kind === 'acme' && need.reason !== null) {
    if (options.dryRun) {
      const generation = expected(certificate, newest, need)
      return { generation, issued: null, failure: null, wanted: need.reason, waiting: null, dueMs }
    }
    const early = options.force || options.rekey ? null : notYet(spec.name, newest, renewal, nowMs)
    if (early && !newest) throw early
    if (early && newest) return stands(newest, { failure: early })
  }

  const waits: string[] = []
  await using solvers = await openSolvers(context, spec, certificate)
  const reason = need.reason ?? 'the issuer may have a newer one'
  const order = {
    lineage,
    names: certificate.names,
    keyType: certificate.key.type,
    keepKey: need.keepKey && newest ? newest.spki : null,
    nowMs,
    newest: newest?.fingerprint ?? null,
    stored: (await store.generations(lineage)).map(({ fingerprint }) => fingerprint),
    newestFromMs: newest?.notBeforeMs ?? null,
    newestDer: newest && leafOf(newest).der,
    onWait: (what: string) => void waits.push(what),
  }
  // With a good certificate there is work to go on with: a CA that is down does not hold that up for long.
  const hurry = newest && newest.notAfterMs > nowMs ? { withinMs: hurriedWithinMs } : {}
  const tools = { keys: vault, notes: store, clock, signal: context.signal, solvers: solvers.all, ...hurry }
  const bundle = await ledger
    .effect({ effect: 'issue', lineage, reason }, () => issuerOf(spec, tools).issue(order))
    .catch((thrown: unknown) => {
      const error = asOnecertError(thrown)
      return retold(error, { state: error.failure.state ?? 'no server was touched' })
    })
  const [waiting = null] = waits
  if (waiting !== null) context.report({ kind: 'notice', lineage, text: `waits for a newer certificate: ${waiting}` })
  if (bundle instanceof OnecertError) {
    const mayWait = spec.kind === 'acme' || certificate.issuers.length > 1
    if (mayWait && !context.signal.aborted) await noteFailure(context, lineage, spec.name, renewal, bundle)
    // What a CA will not give today is no reason to leave servers alone that have drifted.
    if (!mayWait || !newest || newest.notAfterMs <= nowMs || context.signal.aborted) throw bundle
    // Awaited here: its failure would go unheard while the solvers are closed, and end the process.
    return await stands(newest, { failure: bundle })
  }
  if (bundle === null) {
    if (!newest) fail('INTERNAL', { what: `the issuer of ${lineage} has nothing new, and there is nothing old` })
    return await stands(newest, { waiting })
  }
  const row = await store.addGeneration({
    lineage,
    spki: bundle.spki,
    fingerprint: bundle.leaf.fingerprint,
    notBeforeMs: bundle.leaf.notBeforeMs,
    notAfterMs: bundle.leaf.notAfterMs,
    chainPem: fullchainPem(bundle),
    names: [...bundle.leaf.names],
    issuer: spec.name,
    keyMadeAtMs: newest?.spki === bundle.spki ? newest.keyMadeAtMs : nowMs,
    createdAtMs: nowMs,
  })
  const generation = await loaded(context, certificate, row)
  const issued = need.reason ?? 'the issuer had a newer one'
  return { generation, issued, failure: null, wanted: null, waiting, dueMs }
}

/** What the next generation would be; its leaf, dates and perhaps its key are not known before it is there. */
function expected({ name }: Certificate, newest: GenerationRow | null, { keepKey }: Need): Generation {
  return {
    lineage: name,
    number: (newest?.number ?? 0) + 1,
    spki: keepKey && newest ? newest.spki : '',
    fingerprint: '',
    chain: [],
    notBeforeMs: 0,
    notAfterMs: 0,
    chainPem: '',
    keyPem: new Secret(''),
  }
}

/** Where the newest generation does not do any more, what would take its place belongs to the answer. */
function standing(
  context: Context,
  certificate: Certificate,
  newest: GenerationRow,
  waiting: string | null,
): Promise<Generation> {
  return loaded(context, certificate, newest).catch((thrown: unknown) => {
    if (waiting === null || !(thrown instanceof OnecertError)) throw thrown
    const fact = [thrown.failure.fact, waiting].filter((each) => each !== undefined).join('\n')
    throw retold(thrown, { fact })
  })
}

/** A stored generation with its key, assessed as it would be when it came in: dates go by and names change. */
async function loaded(context: Context, certificate: Certificate, row: GenerationRow): Promise<Generation> {
  const vault = await context.vault()
  const keyPem = await vault.get(row.lineage, row.spki)
  const key = parsePrivateKey(Buffer.from(keyPem.reveal()), { file: `the vault's key of ${row.lineage}` })
  const nowMs = context.clock.nowMs()
  const { bundle, errors } = assessBundle({ certificates: chainOf(row), key }, { names: certificate.names, nowMs })
  const [first, ...also] = errors
  if (first || !bundle) {
    fail(first?.code ?? 'INTERNAL', {
      what: `generation ${row.number} of ${row.lineage}: ${first?.failure.what ?? 'no assessment'}`,
      ...(first?.failure.fact && { fact: first.failure.fact }),
      state: 'no server was touched',
      next: first?.failure.next ?? `onecert renew ${row.lineage} --force`,
      also,
    })
  }
  return {
    lineage: row.lineage,
    number: row.number,
    spki: row.spki,
    fingerprint: row.fingerprint,
    chain: bundle.chain.map(({ fingerprint }) => fingerprint),
    notBeforeMs: row.notBeforeMs,
    notAfterMs: row.notAfterMs,
    chainPem: row.chainPem,
    keyPem,
  }
}
