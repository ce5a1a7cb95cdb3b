import type { KeyObject } from 'node:crypto'
import { asOnecertError, fail } from '../../base/errors.ts'
import { inLanes } from '../../base/lanes.ts'
import type { Secret } from '../../base/secret.ts'
import type { AcmeIssuer } from '../../fleet/fleet.ts'
import type { Bundle } from '../../pki/bundle.ts'
import { spkiOf } from '../../pki/key.ts'
import { nameSet } from '../../pki/names.ts'
import { caaResolver, requireCaa } from '../dns/caa.ts'
import type { Issuer, Order } from '../issuer.ts'
import { keptKey, leafKey } from '../leaf-key.ts'
import { replacesOf } from '../predecessor.ts'
import type { Solver } from '../solver.ts'
import { certificateId } from './certificate-id.ts'
import type { AcmeClient } from './client.ts'
import { makeCsr } from './csr.ts'
import { historyAt } from './history.ts'
import { insist } from './insist.ts'
import { type OpenOrder, openOrders, serves } from './open-order.ts'
import { acmeProblemOf, sayProblem } from './problem.ts'
import { goesOn, proveNames, takeAway } from './proof.ts'
import { receive } from './receipt.ts'
import { accountIdentity, accounts, forgetRegistration, openRegistered } from './registration.ts'
import type { AcmeOrder } from './resources.ts'
import { settledOrder } from './settled.ts'
import type { AcmeTools } from './tools.ts'

/** At once. */
const caaLookupsMax = 16
/** A CA looks from several places, and may have many to serve before us. */
const decisionWithinMs = 300_000

/**
 * Certificates from a CA that speaks ACME. Each step is on disk before the CA hears of it, so that a run that was killed
 * anywhere is gone on with: the same order, the same key, no second request for the same intent (I10).
 */
export function acme(spec: AcmeIssuer, tools: AcmeTools & { readonly solvers: readonly Solver[] }): Issuer {
  const { keys, notes, clock, signal, solvers } = tools
  const orders = openOrders(notes)
  const history = historyAt(spec.directory, notes)
  const waiting = { issuer: spec.name, clock, signal, withinMs: decisionWithinMs }

  async function issue(order: Order): Promise<Bundle> {
    const client = await openRegistered(spec, tools)
    return issueWith(client, order).catch(async (error: unknown) => {
      if (asOnecertError(error).code === 'ACME_ACCOUNT_UNKNOWN') await forgetRegistration(spec.name, notes)
      throw error
    })
  }

  async function issueWith(client: AcmeClient, order: Order): Promise<Bundle> {
    const { lineage } = order
    const begun = await begin(order)
    const key = await keptKey(lineage, begun.spki, keys)
    const placed = await place(client, lineage, begun)
    const proven = await prove(client, lineage, begun, placed)
    const certified = await certify(client, proven, key)
    const bundle = await accept(client, certified, order, key)
    await history.add({ ...counted(begun), kind: 'certificate', atMs: clock.nowMs() })
    await orders.change(lineage, (open) => open && { ...open, fingerprint: bundle.leaf.fingerprint })
    return bundle
  }

  /** The order that is under way, else the intent of a new one: its key is in the vault by then. */
  async function begin(order: Order): Promise<OpenOrder> {
    const { lineage, names, keepKey, keyType } = order
    const profile = spec.profile ?? null
    const wanted = { issuer: spec.name, directory: spec.directory, names, profile, keepKey, keyType }
    const left = await orders.read(lineage)
    const presented = left ? await takeAway(left.presented, solvers) : []
    // What it brought is a generation: it has served.
    const served = left?.fingerprint != null && order.stored.includes(left.fingerprint) ? left : null
    if (left && !served && serves(left, wanted) && (await keys.has(lineage, left.spki))) return left
    const key = await leafKey(order, keys)
    const account = (await accounts(notes).read(spec.name))?.url ?? ''
    const begun: OpenOrder = {
      issuer: spec.name,
      directory: spec.directory,
      account,
      names,
      profile,
      keepKey,
      keyType,
      spki: spkiOf(key),
      url: null,
      asked: false,
      fingerprint: null,
      replaces:
        served && served.fingerprint === order.newest && order.newestDer
          ? idOf(served, order.newestDer, { account, names })
          : null,
      presented,
    }
    await orders.write(lineage, begun)
    return begun
  }

  function idOf(served: OpenOrder, leafDer: Uint8Array, order: Pick<OpenOrder, 'account' | 'names'>): string | null {
    const predecessor = { ...served, certificateId: certificateId(leafDer), replaced: false }
    // Whether the CA has renewal information, the client sees when it makes the order.
    return replacesOf(predecessor, { ...order, directory: spec.directory, renewalInfo: spec.directory })
  }

  /** At the CA: found again, or made. */
  async function place(client: AcmeClient, lineage: string, begun: OpenOrder): Promise<AcmeOrder> {
    const maybeLost = begun.url === null && begun.asked
    const known = maybeLost ? await lost(client, begun) : begun.url && (await stillUsable(client, begun.url))
    if (known) {
      if (begun.url === null) await orders.write(lineage, { ...begun, url: known.url })
      return known
    }
    await mayIssue(client, begun)
    await history.keepWithin({ ...counted(begun), kind: 'order' }, clock.nowMs())
    await orders.write(lineage, { ...begun, url: null, asked: true })
    const made = await insist(
      () => newOrder(client, begun),
      () => lost(client, begun),
      tools,
    )
    await history.add({ ...counted(begun), kind: 'order', atMs: clock.nowMs() })
    await orders.write(lineage, { ...begun, asked: true, url: made.url })
    return made
  }

  /** A refusal by the CA counts against its limits: CAA is looked at before it is asked, where it is a public one. */
  async function mayIssue(client: AcmeClient, { names }: OpenOrder): Promise<void> {
    const { meta } = await client.directory()
    const resolver = caaResolver(spec)
    if (resolver === null) return
    await inLanes(names, caaLookupsMax, (name) =>
      requireCaa(name, meta.caaIdentities, resolver, signal).catch((error: unknown) => {
        // What we cannot look up, the CA may; it decides.
        if (asOnecertError(error).code === 'CAA_FORBIDS') throw error
      }),
    )
  }

  async function newOrder(client: AcmeClient, { names, profile, replaces }: OpenOrder): Promise<AcmeOrder> {
    const wanted = { names, ...(profile !== null && { profile }) }
    try {
      return await client.newOrder({ ...wanted, ...(replaces !== null && { replaces }) })
    } catch (error) {
      const { code } = asOnecertError(error)
      // What it would have replaced was replaced already (RFC 9773 section 5), or is not known there: that is no obstacle.
      if (code === 'ACME_REFUSED' && replaces !== null) return client.newOrder(wanted)
      throw error
    }
  }

  const counted = ({ account, names, replaces }: OpenOrder) => ({
    account,
    names,
    ari: replaces !== null,
    renewal: replaces !== null,
  })

  /** An intent whose answer was lost: the CA may have the order (RFC 8555 section 7.1.2.1), and hands it out if asked. */
  async function lost(client: AcmeClient, begun: OpenOrder): Promise<AcmeOrder | null> {
    // The newest are at the end, as CAs list them.
    for (const url of (await client.orders()).toReversed()) {
      const found = await stillUsable(client, url)
      if (found && found.status !== 'valid' && nameSet(found.names) === nameSet(begun.names)) return found
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

  async function prove(client: AcmeClient, lineage: string, begun: OpenOrder, placed: AcmeOrder): Promise<AcmeOrder> {
    if (placed.status !== 'pending') return placed
    try {
      await proveNames(client, placed, {
        ...waiting,
        names: begun.names,
        solvers,
        account: await accountIdentity(client, spec.name, notes),
        notePresented: (presented) => orders.change(lineage, (open) => open && { ...open, presented }).then(() => {}),
      })
    } catch (error) {
      if (goesOn(error, signal)) throw error
      // The order is no more; the intent is, with what lies around and what it comes after.
      await orders.change(lineage, (open) => open && { ...open, url: null, asked: false })
      if (acmeProblemOf(error)) await history.add(...proofs(begun, true))
      throw error
    }
    await history.add(...proofs(begun, false))
    return settledOrder(client, placed.url, waiting)
  }

  const proofs = ({ account, names }: OpenOrder, failed: boolean) =>
    names.map((name) => ({ kind: 'authorization' as const, account, name, failed, atMs: clock.nowMs() }))

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
      next: 'when the cause is mended: onecert issue --force',
    })
  }

  /** Nothing of a CA's answer is stored before it was judged. */
  async function accept(
    client: AcmeClient,
    certified: AcmeOrder,
    order: Order,
    key: Secret<KeyObject>,
  ): Promise<Bundle> {
    const received = await receive(client, certified, { spec, order, key }, tools)
    if (received.bundle) return received.bundle
    if (received.spoiled) await orders.remove(order.lineage)
    throw received.refusal
  }

  return { issue }
}
