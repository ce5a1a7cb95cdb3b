import { asOnecertError, fail, OnecertError } from '../base/errors.ts'
import type { Certificate } from '../fleet/fleet.ts'
import { issuerOf } from '../issue/issuers.ts'
import { renewalNeed } from '../issue/renewal.ts'
import { assessBundle, fullchainPem } from '../pki/bundle.ts'
import { parseCertificates } from '../pki/certificate.ts'
import { parsePrivateKey } from '../pki/key.ts'
import type { Generation } from '../rollout/generation.ts'
import type { GenerationRow } from '../store/store.ts'
import type { Context } from './context.ts'

export interface IssueOptions {
  readonly force: boolean
  readonly rekey: boolean
}

export interface IssuedGeneration {
  readonly generation: Generation
  /** Why a new certificate was issued; null: the newest generation stands. */
  readonly issued: string | null
  /** What a newer one lacks that was seen and could not be taken yet. */
  readonly waiting: string | null
}

/**
 * The newest generation of a lineage, issued now where none will do. Whatever it is, it was assessed before it is
 * returned: a bundle with a defect never gets near a server.
 * @throws OnecertError PEM_*, CHAIN_*, CERT_*, KEY_*, P12_*, VAULT_*
 */
export async function issueCertificate(
  context: Context,
  certificate: Certificate,
  options: IssueOptions,
): Promise<IssuedGeneration> {
  const { fleet, store, ledger, clock } = context
  const vault = await context.vault()
  const nowMs = clock.nowMs()
  const lineage = certificate.name
  const newest = await store.newestGeneration(lineage)
  const spec = fleet.issuers.get(certificate.issuer)
  if (!spec) fail('ISSUER_UNKNOWN', { what: `no issuer "${certificate.issuer}" in the fleet file` })
  const need = renewalNeed(certificate, newest, { nowMs, ...options })
  // Files are looked at each time: a new file is the only sign that there is something new.
  const imported = spec.kind !== 'local-ca'
  if (!imported && need.reason === null && newest)
    return { generation: await loaded(context, certificate, newest), issued: null, waiting: null }

  const waits: string[] = []
  const reason = need.reason ?? 'the issuer may have a newer one'
  const bundle = await ledger
    .effect({ effect: 'issue', lineage, reason }, () =>
      issuerOf(spec, vault).issue({
        lineage,
        names: certificate.names,
        keyType: certificate.key.type,
        keepKey: need.keepKey && newest ? newest.spki : null,
        nowMs,
        newest: newest?.fingerprint ?? null,
        newestFromMs: newest?.notBeforeMs ?? null,
        onWait: (what) => void waits.push(what),
      }),
    )
    .catch((thrown: unknown) => {
      const error = asOnecertError(thrown)
      throw new OnecertError(error.code, { state: 'no server was touched', ...error.failure, cause: error })
    })
  const [waiting = null] = waits
  if (waiting !== null) context.report({ kind: 'waiting', lineage, reason: waiting })
  if (bundle === null) {
    if (!newest) fail('INTERNAL', { what: `the issuer of ${lineage} has nothing new, and there is nothing old` })
    return { generation: await standing(context, certificate, newest, waiting), issued: null, waiting }
  }
  const row = await store.addGeneration({
    lineage,
    spki: bundle.spki,
    fingerprint: bundle.leaf.fingerprint,
    notBeforeMs: bundle.leaf.notBeforeMs,
    notAfterMs: bundle.leaf.notAfterMs,
    chainPem: fullchainPem(bundle),
    names: [...bundle.leaf.names],
    issuer: certificate.issuer,
    keyMadeAtMs: newest?.spki === bundle.spki ? newest.keyMadeAtMs : nowMs,
    createdAtMs: nowMs,
  })
  const issued = need.reason ?? 'the issuer had a newer one'
  return { generation: await loaded(context, certificate, row), issued, waiting }
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
    throw new OnecertError(thrown.code, { ...thrown.failure, fact, cause: thrown })
  })
}

/** A stored generation with its key, assessed as it would be when it came in: dates go by and names change. */
async function loaded(context: Context, certificate: Certificate, row: GenerationRow): Promise<Generation> {
  const vault = await context.vault()
  const keyPem = await vault.get(row.lineage, row.spki)
  const certificates = parseCertificates(Buffer.from(row.chainPem), {
    file: `generation ${row.number} of ${row.lineage}`,
  })
  const key = parsePrivateKey(Buffer.from(keyPem.reveal()), { file: `the vault's key of ${row.lineage}` })
  const nowMs = context.clock.nowMs()
  const { bundle, errors } = assessBundle({ certificates, key }, { names: certificate.names, nowMs })
  const [first, ...also] = errors
  if (first || !bundle) {
    fail(first?.code ?? 'INTERNAL', {
      what: `generation ${row.number} of ${row.lineage}: ${first?.failure.what ?? 'no assessment'}`,
      ...(first?.failure.fact && { fact: first.failure.fact }),
      state: 'no server was touched',
      next: first?.failure.next ?? `onecert renew ${row.lineage}`,
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
