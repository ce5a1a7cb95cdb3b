import { asOnecertError, fail, OnecertError, retold } from '../base/errors.ts'
import { lineagesOn, placements, sitesOn } from '../fleet/placement.ts'
import { keyCopies } from '../ledger/keycopies.ts'
import { licenceSeats } from '../rollout/licence.ts'
import { type DnsSite, dnsSites, publishAddress, recordTexts, untilSeen } from './addresses.ts'
import { rollOut } from './apply.ts'
import { chosenServer } from './choice.ts'
import type { Context } from './context.ts'
import { withLease } from './lease.ts'
import { endQuarantine } from './quarantine.ts'

export interface AddOptions {
  readonly publish: boolean
  readonly connectTimeoutMs: number
  /** Writes the fleet file; called when nothing stands in the way. */
  readonly save: () => Promise<void>
}

export interface Added {
  readonly server: string
  readonly certificates: readonly string[]
  /** Brought to the certificate now; false: it had it, and was looked at. */
  readonly changed: boolean
  readonly published: readonly { readonly site: string; readonly address: string; readonly zone: string }[]
  /** Records that a person has to publish. */
  readonly byHand: readonly string[]
  /** Sites where something else than the DNS is to lead to it. */
  readonly behind: readonly string[]
}

/** What a server would get and where it would be published. */
export interface AddPlan {
  readonly server: string
  readonly certificates: readonly string[]
  readonly sites: readonly DnsSite[]
}

/**
 * Where a server is to be brought in. Nothing is asked and nothing is changed.
 * @throws OnecertError SERVER_UNKNOWN, LICENCE_SEATS
 */
export async function planServer(context: Context, name: string): Promise<AddPlan> {
  const { fleet, ledger } = context
  chosenServer(fleet, name)
  const lineages = lineagesOn(fleet, name)
  for (const lineage of lineages) {
    const holders = new Set(keyCopies(await ledger.entries({ lineage })).map(({ server }) => server))
    const seats = fleet.certificates.get(lineage)?.licence?.servers
    const wanted = placements(fleet, lineage).map(({ server }) => server.name)
    if (!licenceSeats(wanted, holders, seats).blocked.includes(name)) continue
    fail('LICENCE_SEATS', {
      what: `no licence seat of ${lineage} is left for ${name}`,
      fact: `the licence allows ${seats} servers, ${holders.size} hold a copy`,
      state: 'nothing was changed: not the fleet file, no server, not the DNS',
      next: 'raise licence.servers in the fleet file to what the CA sold, or take a server away (onecert server remove)',
    })
  }
  return { server: name, certificates: lineages, sites: dnsSites(fleet, name) }
}

/**
 * Brings a server of the fleet file in: copy → prove → only then publish its address. Each step that is done already is found
 * and left alone, so the same call goes on where another one ended.
 * @throws OnecertError LICENCE_SEATS before anything; what the server refuses, with nothing published; DNS_*
 */
export async function addServer(context: Context, name: string, options: AddOptions): Promise<Added> {
  const { certificates, sites } = await planServer(context, name)
  const server = chosenServer(context.fleet, name)
  await options.save()
  return withLease(context, `server..${name}`, async (_, signal) => {
    const inLease = { ...context, signal }
    const changed = await bring(inLease, name, certificates, options.connectTimeoutMs)
    const own = options.publish ? sites.filter(({ zone }) => zone !== undefined) : []
    const published: Added['published'][number][] = []
    for (const { site, zone } of own) {
      if (!zone) continue
      signal.throwIfAborted()
      await publishAddress(inLease, zone, site, server)
      await endQuarantine(inLease, site, name)
      for (const address of server.addresses)
        inLease.report({ kind: 'server', server: name, text: `${address} is in ${site} at the primary` })
      await untilSeen(inLease, zone, site, server, 'shown')
      inLease.report({ kind: 'server', server: name, text: `every name server of ${site} shows it` })
      published.push(...server.addresses.map((address) => ({ site, address, zone: zone.name })))
    }
    const byHand = sites.filter((each) => !own.includes(each)).flatMap(({ site }) => recordTexts(site, server))
    const behind = sitesOn(context.fleet, name).filter(({ topology }) => topology.kind !== 'dns')
    return { server: name, certificates, changed, published, byHand, behind: behind.map((each) => each.name) }
  })
}

/** @returns whether anything was changed there. Returns only for a server that has shown its certificates by handshake. */
async function bring(
  context: Context,
  name: string,
  certificates: readonly string[],
  connectTimeoutMs: number,
): Promise<boolean> {
  const options = { certificates, servers: [name], parallel: 1, connectTimeoutMs, now: null }
  const { applied, stopped } = await rollOut(context, options)
  const outcomes = applied.flatMap(({ result }) => result.outcomes)
  const failed = outcomes.find(({ state }) => state !== 'committed')
  const error = stopped ?? failed?.error
  if (error) throw unpublished(name, error)
  for (const { plan, result, failure } of applied) {
    if (failure) {
      const text = `the newest certificate is carried; a newer one could not be had: ${failure.failure.what}`
      context.report({ kind: 'server', server: name, text })
    }
    const proven =
      plan.proven.some(({ placement }) => placement.server.name === name) ||
      result.outcomes.some(({ server, state }) => server === name && state === 'committed')
    if (proven) continue
    const closed = [...plan.waiting, ...result.waiting].find(({ placement }) => placement.server.name === name)
    throw unpublished(
      name,
      closed
        ? new OnecertError('WINDOW_CLOSED', {
            what: `${name} waits for its maintenance window, which opens ${closed.opensAt}`,
            state: 'nothing was changed on it',
            next: `wait until it is open, or now: onecert apply --server ${name} --now "the reason"`,
          })
        : new OnecertError('ROLLOUT_STOPPED', { what: `${name} is not proven: ${result.stopped ?? 'it has no seat'}` }),
    )
  }
  return outcomes.some(({ changed }) => changed)
}

function unpublished(name: string, thrown: unknown): OnecertError {
  const error = asOnecertError(thrown)
  const state = [error.failure.state, `${name} was not published in the DNS`].filter(Boolean).join('; ')
  const first = error.failure.next === 'onecert apply' ? undefined : error.failure.next
  const again = `the same command again: onecert server add ${name} …`
  return retold(error, { state, next: first === undefined ? again : `${first}\nthen ${again}` })
}
