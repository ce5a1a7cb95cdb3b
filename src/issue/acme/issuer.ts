import type { KeyObject } from 'node:crypto'
import { readBounded } from '../../base/durable.ts'
import { asOnecertError, fail, OnecertError } from '../../base/errors.ts'
import type { Secret } from '../../base/secret.ts'
import type { AcmeIssuer } from '../../fleet/fleet.ts'
import { assessBundle, type Bundle } from '../../pki/bundle.ts'
import { parseCertificates, type X509 } from '../../pki/certificate.ts'
import { defaultAnchors } from '../../pki/chain.ts'
import { spkiOf } from '../../pki/key.ts'
import type { Issuer, Order } from '../issuer.ts'
import { keptKey, leafKey } from '../leaf-key.ts'
import type { Solver } from '../solver.ts'
import { certificateId } from './certificate-id.ts'
import type { AcmeClient } from './client.ts'
import { makeCsr } from './csr.ts'
import { insist } from './insist.ts'
import { type OpenOrder, openOrders, sameNames, serves } from './open-order.ts'
import { acmeProblemOf, sayProblem } from './problem.ts'
import { proveNames, takeAway } from './proof.ts'
import { accounts, openRegistered } from './registration.ts'
import type { AcmeOrder } from './resources.ts'
import { settledOrder } from './settled.ts'
import type { AcmeTools } from './tools.ts'

const rootsBytesMax = 1_048_576
/** A CA looks from several places, and may have many to serve before us. */
const decisionWithinMs = 300_000

/**
 * Certificates from a CA that speaks ACME. Each step is on disk before the CA hears of it, so that a run that was killed
 * anywhere is gone on with: the same order, the same key, no second request for the same intent (I10).
 */
export function acme(spec: AcmeIssuer, tools: AcmeTools & { readonly solvers: readonly Solver[] }): Issuer {
  const { keys, notes, clock, signal, solvers } = tools
  const orders = openOrders(notes)
  const waiting = { issuer: spec.name, clock, signal, withinMs: decisionWithinMs }

  async function issue(order: Order): Promise<Bundle> {
    const client = await openRegistered(spec, tools)
    const { lineage } = order
    const begun = await begin(order)
    const key = await keptKey(lineage, begun.spki, keys)
    const placed = await place(client, order, begun)
    const proven = await prove(client, lineage, placed)
    const certified = await certify(client, proven, key)
    const bundle = await receive(client, certified, order, key)
    await orders.change(lineage, (open) => open && { ...open, fingerprint: bundle.leaf.fingerprint })
    return bundle
  }

  /** The order that is under way, else the intent of a new one: its key is in the vault by then. */
  async function begin(order: Order): Promise<OpenOrder> {
    const { lineage, names, keepKey } = order
    const profile = spec.profile ?? null
    const wanted = { issuer: spec.name, directory: spec.directory, names, profile, keepKey }
    const left = await orders.read(lineage)
    if (left) await takeAway(left.presented, solvers)
    // What it brought is the newest generation: it has served.
    const open = left?.fingerprint != null && left.fingerprint === order.newest ? null : left
    if (open && serves(open, wanted) && (await keys.has(lineage, open.spki))) return open
    const key = await leafKey(order, keys)
    const begun: OpenOrder = {
      issuer: spec.name,
      directory: spec.directory,
      names,
      profile,
      spki: spkiOf(key),
      url: null,
      startedAtMs: order.nowMs,
      fingerprint: null,
      presented: [],
    }
    await orders.write(lineage, begun)
    return begun
  }

  /** At the CA: found again, or made. */
  async function place(client: AcmeClient, order: Order, begun: OpenOrder): Promise<AcmeOrder> {
    const { lineage } = order
    const known = begun.url === null ? await lost(client, begun) : await stillUsable(client, begun.url)
    if (known) {
      if (begun.url === null) await orders.write(lineage, { ...begun, url: known.url })
      return known
    }
    const replaces = order.replaces?.issuer === spec.name ? certificateId(order.replaces.leafDer) : undefined
    const made = await insist(
      () => newOrder(client, begun, replaces),
      () => lost(client, begun),
      tools,
    )
    await orders.write(lineage, { ...begun, url: made.url, presented: [] })
    return made
  }

  async function newOrder(
    client: AcmeClient,
    { names, profile }: OpenOrder,
    replaces: string | undefined,
  ): Promise<AcmeOrder> {
    const wanted = { names, ...(profile !== null && { profile }) }
    try {
      return await client.newOrder({ ...wanted, ...(replaces !== undefined && { replaces }) })
    } catch (error) {
      const { code } = asOnecertError(error)
      if (code === 'ACME_ACCOUNT_UNKNOWN')
        await accounts(notes).change(spec.name, (known) => known && { ...known, url: null })
      // What it would have replaced was replaced already (RFC 9773 section 5), or is not known there: that is no obstacle.
      if (acmeProblemOf(error)?.problem.type === 'alreadyReplaced' && replaces !== undefined)
        return client.newOrder(wanted)
      throw error
    }
  }

  /** An intent whose answer was lost: the CA may have the order (RFC 8555 section 7.1.2.1), and hands it out if asked. */
  async function lost(client: AcmeClient, begun: OpenOrder): Promise<AcmeOrder | null> {
    // The newest are at the end, as CAs list them.
    for (const url of (await client.orders()).toReversed()) {
      const found = await stillUsable(client, url)
      if (found && found.status !== 'valid' && sameNames(found.names, begun.names)) return found
    }
    return null
  }

  async function stillUsable(client: AcmeClient, url: string): Promise<AcmeOrder | null> {
    const found = await client.order(url).catch((error: unknown) => {
      if (asOnecertError(error).retryable) throw error
      return null
    })
    return found && found.status !== 'invalid' ? found : null
  }

  async function prove(client: AcmeClient, lineage: string, placed: AcmeOrder): Promise<AcmeOrder> {
    if (placed.status !== 'pending') return placed
    try {
      await proveNames(client, placed, {
        ...waiting,
        solvers,
        willPresent: (presented) => orders.change(lineage, (open) => open && { ...open, presented }).then(() => {}),
      })
    } catch (error) {
      if (!asOnecertError(error).retryable && !signal.aborted) await orders.remove(lineage)
      throw error
    }
    await orders.change(lineage, (open) => open && { ...open, presented: [] })
    return settledOrder(client, placed.url, waiting)
  }

  async function certify(client: AcmeClient, proven: AcmeOrder, key: Secret<KeyObject>): Promise<AcmeOrder> {
    const csr = await makeCsr(proven.names, key)
    const further = async () => {
      const now = await client.order(proven.url)
      return now.status === 'ready' ? null : now
    }
    const finalized =
      proven.status === 'ready' ? await insist(() => client.finalize(proven, csr), further, tools) : proven
    const ended = await settledOrder(client, finalized.url, waiting)
    if (ended.status === 'valid') return ended
    return fail('ACME_REFUSED', {
      what: `${spec.name} did not issue the certificate`,
      fact: ended.problem ? sayProblem(ended.problem) : `the order is ${ended.status}`,
      state: 'what is served was not touched',
      next: 'onecert apply makes a new order',
    })
  }

  /** Nothing of a CA's answer is stored before it was judged: another key, fewer names, dates, a chain to no known root. */
  async function receive(
    client: AcmeClient,
    { certificate }: AcmeOrder,
    order: Order,
    key: Secret<KeyObject>,
  ): Promise<Bundle> {
    if (certificate === null)
      fail('ACME_PROTOCOL', { what: `${spec.name} calls the order valid and names no certificate` })
    const anchors = await roots()
    const first = await client.certificate(certificate)
    const judge = (pem: string) =>
      assessBundle(
        { certificates: certificatesOf(pem), key },
        { names: order.names, nowMs: clock.nowMs(), ...(anchors && { anchors }) },
      )
    const candidates = [judge(first.pem)]
    // Section 7.4.2: other chains of the same certificate; asked for where the first will not do, or another is preferred.
    if (spec.preferredChain !== undefined || !candidates[0]?.bundle) {
      for (const url of first.alternates) candidates.push(judge((await client.certificate(url)).pem))
    }
    const usable = candidates.flatMap(({ bundle }) => bundle ?? [])
    const bundle = usable.find(leadsTo(spec.preferredChain)) ?? usable[0]
    if (bundle) return bundle
    const [error, ...also] = candidates[0]?.errors ?? []
    throw new OnecertError(error?.code ?? 'ACME_PROTOCOL', {
      ...(error?.failure ?? { what: 'no certificate' }),
      what: `what ${spec.name} issued for ${order.lineage} cannot be used: ${error?.failure.what ?? 'nothing came'}`,
      state: 'it was not stored, and no server was touched',
      next: `tell the CA; then: onecert issue ${order.lineage} --force`,
      also,
    })
  }

  async function roots(): Promise<readonly X509[] | undefined> {
    if (spec.rootsFile !== undefined)
      return parseCertificates(await readBounded(spec.rootsFile, { bytesMax: rootsBytesMax }), { file: spec.rootsFile })
    // A CA of one's own has its own root; what a public one issues has to lead to one that clients know.
    return spec.caFile === undefined ? defaultAnchors() : undefined
  }

  const certificatesOf = (pem: string) => parseCertificates(Buffer.from(pem), { file: `the answer of ${spec.name}` })

  return { issue }
}

function leadsTo(commonName: string | undefined): (bundle: Bundle) => boolean {
  return ({ chain }) => commonName !== undefined && (chain.at(-1)?.issuer.includes(`CN=${commonName}`) ?? false)
}
