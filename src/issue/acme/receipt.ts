import type { KeyObject } from 'node:crypto'
import type { ErrorCode } from '../../base/catalogue.ts'
import { readBounded } from '../../base/durable.ts'
import { fail, OnecertError } from '../../base/errors.ts'
import { inputBytesMax } from '../../base/limits.ts'
import type { Secret } from '../../base/secret.ts'
import type { AcmeIssuer } from '../../fleet/fleet.ts'
import { assessBundle, type Bundle } from '../../pki/bundle.ts'
import { parseCertificates, type X509 } from '../../pki/certificate.ts'
import { defaultAnchors } from '../../pki/chain.ts'
import type { Order } from '../issuer.ts'
import type { AcmeClient } from './client.ts'
import type { AcmeOrder } from './resources.ts'
import type { AcmeTools } from './tools.ts'

/** What came of an order; `spoiled`: nothing good can come of it any more. */
export type Receipt =
  | { readonly bundle: Bundle }
  | { readonly bundle: null; readonly refusal: OnecertError; readonly spoiled: boolean }

const alternatesMax = 10

/** No other chain, root or moment makes such a leaf good: its order is of no use any more. */
const leafDefects: ReadonlySet<ErrorCode> = new Set(['PEM_KEY_MISMATCH', 'CERT_NAME_MISSING', 'CERT_EXPIRED'])

/**
 * Fetches the certificate of an order and judges it: another key, fewer names, dates, a chain to no known root. Nothing is
 * stored here.
 * @throws OnecertError ACME_* where it cannot be fetched; INPUT_*, PEM_* of `rootsFile`
 */
export async function receive(
  client: AcmeClient,
  { certificate }: AcmeOrder,
  wanted: { readonly spec: AcmeIssuer; readonly order: Order; readonly key: Secret<KeyObject> },
  { clock, signal }: Pick<AcmeTools, 'clock' | 'signal'>,
): Promise<Receipt> {
  const { spec, order, key } = wanted
  if (certificate === null)
    fail('ACME_PROTOCOL', { what: `${spec.name} calls the order valid and names no certificate` })
  const anchors = await rootsOf(spec)
  const first = await client.certificate(certificate)
  const judge = (pem: string) =>
    assessBundle(
      { certificates: parseCertificates(Buffer.from(pem), { file: `the answer of ${spec.name}` }), key },
      { names: order.names, nowMs: clock.nowMs(), ...(anchors && { anchors }) },
    )
  const candidates = [judge(first.pem)]
  // Section 7.4.2: other chains of the same certificate; asked for where the first will not do, or another is preferred.
  if (spec.preferredChain !== undefined || !candidates[0]?.bundle) {
    for (const url of first.alternates.slice(0, alternatesMax)) {
      const other = await client
        .certificate(url)
        .then(({ pem }) => judge(pem))
        .catch(() => null)
      signal.throwIfAborted()
      if (other) candidates.push(other)
    }
  }
  const usable = candidates.flatMap(({ bundle }) => bundle ?? [])
  const bundle = usable.find(leadsTo(spec.preferredChain)) ?? usable[0]
  if (bundle) return { bundle }
  const [error, ...also] = candidates[0]?.errors ?? []
  const spoiled = candidates.some(({ errors }) => errors.some(({ code }) => leafDefects.has(code)))
  const refusal = new OnecertError(error?.code ?? 'ACME_PROTOCOL', {
    ...(error?.failure ?? { what: 'no certificate' }),
    what: `what ${spec.name} issued for ${order.lineage} cannot be used: ${error?.failure.what ?? 'nothing came'}`,
    state: `it was not stored, and no server was touched; the next run ${spoiled ? 'makes a new order' : 'asks for it again'}`,
    next: `tell the CA; then: onecert issue ${order.lineage} --force`,
    also,
  })
  return { bundle: null, refusal, spoiled }
}

/** undefined: whatever its chain leads to. */
async function rootsOf({ rootsFile, caFile }: AcmeIssuer): Promise<readonly X509[] | undefined> {
  if (rootsFile !== undefined)
    return parseCertificates(await readBounded(rootsFile, { bytesMax: inputBytesMax }), { file: rootsFile })
  // A CA of one's own has its own root; what a public one issues has to lead to one that clients know.
  return caFile === undefined ? defaultAnchors() : undefined
}

function leadsTo(commonName: string | undefined): (bundle: Bundle) => boolean {
  return ({ chain }) => commonName !== undefined && chain.at(-1)?.issuerCommonName === commonName
}
