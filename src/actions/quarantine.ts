import { asOnecertError, type OnecertError } from '../base/errors.ts'
import type { QuarantinePolicy, Server, Site, Zone } from '../fleet/fleet.ts'
import { placements, serversOf } from '../fleet/placement.ts'
import { zoneOfSite } from '../fleet/zone.ts'
import { shelf } from '../issue/notes.ts'
import { endpointsOf, endpointText } from '../observe/endpoint.ts'
import { servedWrong } from '../observe/served.ts'
import { canonicalAddress } from '../pki/names.ts'
import { decideQuarantine, type QuarantineDecision, type QuarantineFacts } from '../rollout/quarantine.ts'
import { addressesOf, publishAddress, withdrawAddress } from './addresses.ts'
import { fingerprintsOf } from './chain.ts'
import { type Choice, chosenCertificates } from './choice.ts'
import type { Context } from './context.ts'
import { lookAtAll } from './look.ts'

/** Why and since when an address is out of the DNS. */
export interface Quarantine {
  readonly atMs: number
  readonly reason: string
}

export interface Quarantined extends QuarantineDecision {
  readonly site: string
}

export interface QuarantineResult {
  readonly done: readonly Quarantined[]
  /** What could not be asked or changed. */
  readonly failures: readonly OnecertError[]
}

const quarantines = ({ store }: Pick<Context, 'store'>) => shelf<Quarantine>(store, 'quarantine')
const nameOf = (site: string, server: string) => `${site} ${server}`

export function quarantineOf(context: Context, site: string, server: string): Promise<Quarantine | null> {
  return quarantines(context).read(nameOf(site, server))
}

export function endQuarantine(context: Context, site: string, server: string): Promise<void> {
  return quarantines(context).remove(nameOf(site, server))
}

/**
 * Takes servers out of the DNS that are not renewed in time, and puts back those that are proven again. What the name servers
 * make of it is not waited for. One that fails stops no other one.
 */
export async function keepQuarantine(context: Context, choice: Choice): Promise<QuarantineResult> {
  const { fleet, signal } = context
  const lineages = chosenCertificates(fleet, choice).map(({ name }) => name)
  const results: QuarantineResult[] = []
  for (const site of fleet.sites.values()) {
    const { topology, certificates } = site
    const zone = zoneOfSite(fleet, site.name)
    if (topology.kind !== 'dns' || !topology.quarantine || !zone) continue
    if (!certificates.some((each) => lineages.includes(each))) continue
    signal.throwIfAborted()
    results.push(
      await keepSite(context, site, topology.quarantine, zone).catch((error: unknown) => ({
        done: [],
        failures: [asOnecertError(error)],
      })),
    )
  }
  return { done: results.flatMap(({ done }) => done), failures: results.flatMap(({ failures }) => failures) }
}

async function keepSite(context: Context, site: Site, policy: QuarantinePolicy, zone: Zone): Promise<QuarantineResult> {
  const { fleet, clock, report } = context
  const servers = serversOf(fleet, site)
  const { addresses } = await addressesOf(context, zone, site.name)
  const facts = await factsOf(context, site, servers, addresses)
  // Somebody else put it back.
  for (const each of facts) {
    if (each.quarantined && each.published === each.addresses) await endQuarantine(context, site.name, each.server)
  }
  const decisions = decideQuarantine(facts, policy, { addresses: addresses.length, nowMs: clock.nowMs() })
  const done: Quarantined[] = []
  const failures: OnecertError[] = []
  for (const decision of decisions) {
    const { server: name, act, reason } = decision
    const server = fleet.servers.get(name)
    if (!server) continue
    try {
      await carryOut(context, zone, site.name, server, decision, policy.keep)
      const text = act === 'withdraw' ? 'taken out of' : 'put back into'
      report({ kind: 'server', server: name, text: `${text} the DNS of ${site.name}: ${reason}` })
      done.push({ site: site.name, ...decision })
    } catch (error) {
      failures.push(asOnecertError(error))
    }
  }
  return { done, failures }
}

async function carryOut(
  context: Context,
  zone: Zone,
  site: string,
  server: Server,
  { act, reason }: QuarantineDecision,
  keep: number,
): Promise<void> {
  if (act === 'restore') {
    await publishAddress(context, zone, site, server)
    return endQuarantine(context, site, server.name)
  }
  // Before it goes: what nobody knows of would never come back.
  await quarantines(context).write(nameOf(site, server.name), { atMs: context.clock.nowMs(), reason })
  await withdrawAddress(context, zone, site, server, { keep, reason }).catch(async (error: unknown) => {
    const { code } = asOnecertError(error)
    if (code === 'DNS_LAST_ADDRESS' || code === 'DNS_REFUSED') await endQuarantine(context, site, server.name)
    throw error
  })
}

async function factsOf(
  context: Context,
  site: Site,
  servers: readonly Server[],
  published: readonly string[],
): Promise<QuarantineFacts[]> {
  const { fleet, store, signal } = context
  const observations = await store.observations()
  const looks = await Promise.all(
    site.certificates.map(async (lineage) => {
      const newest = await store.newestGeneration(lineage)
      const here = placements(fleet, lineage)
        .filter(({ server }) => servers.includes(server))
        .map((placement) => ({ ...placement, names: [site.name], withoutSni: site.withoutSni === true }))
      return { here, chain: newest ? fingerprintsOf(newest) : [], looked: await lookAtAll(here, signal) }
    }),
  )
  return Promise.all(
    servers.map(async ({ name, addresses, probe }): Promise<QuarantineFacts> => {
      const seen = looks.flatMap(({ chain, here, looked }) =>
        here
          .filter(({ server }) => server.name === name)
          .flatMap(endpointsOf)
          .map((endpoint) => {
            const now = looked.find(
              (each) => each.server === name && endpointText(each.endpoint) === endpointText(endpoint),
            )
            const served = now?.served ?? null
            const last = observations.find(
              (each) =>
                each.server === name &&
                each.name === endpoint.name &&
                each.address === endpoint.address &&
                each.port === endpoint.port,
            )
            // Where only a connection can look, the rollout that has just ended did.
            const proven =
              probe === 'direct'
                ? served !== null && chain.length > 0 && servedWrong(served.chain, { chain }) === null
                : last !== undefined && last.fingerprint === chain[0]
            return { proven, notAfterMs: served?.notAfterMs ?? last?.notAfterMs ?? null }
          }),
      )
      const ends = seen.map(({ notAfterMs }) => notAfterMs).filter((each) => each !== null)
      return {
        server: name,
        addresses: addresses.length,
        published: addresses.filter((each) => published.includes(canonicalAddress(each))).length,
        quarantined: (await quarantineOf(context, site.name, name)) !== null,
        proven: seen.length > 0 && seen.every(({ proven }) => proven),
        notAfterMs: ends.length > 0 ? Math.min(...ends) : null,
      }
    }),
  )
}
