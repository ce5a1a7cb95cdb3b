import { asOnecertError, fail, quote, retold } from '../base/errors.ts'
import { closest } from '../base/similar.ts'
import { requireAnother } from '../fleet/edit/server.ts'
import type { Server } from '../fleet/fleet.ts'
import { sitesOn } from '../fleet/placement.ts'
import { zoneOfSite } from '../fleet/zone.ts'
import type { Entry } from '../ledger/entry.ts'
import { type KeyCopy, keyCopies, ticketCopies } from '../ledger/keycopies.ts'
import { endpointsOf } from '../observe/endpoint.ts'
import { handshake } from '../observe/handshake.ts'
import { canonicalAddress } from '../pki/names.ts'
import { type Answer, type Connection, outputText } from '../reach/connection.ts'
import { type ReceiverSettings, receiverText } from '../reach/receiver.ts'
import { includePath, receiverSettings } from '../rollout/receiver.ts'
import {
  type DnsSite,
  dnsSites,
  noteTtlShown,
  recordTexts,
  untilSeen,
  whoShows,
  withdrawAddress,
  withdrawalName,
  withdrawals,
} from './addresses.ts'
import { withConnection } from './connection.ts'
import type { Context } from './context.ts'
import { withLease } from './lease.ts'
import { endQuarantine } from './quarantine.ts'
import { forgetServer, rememberedServer } from './remembered.ts'
import { noteHeld } from './tickets.ts'

export interface RemoveOptions {
  /** Waits for no TTL and no name server. */
  readonly now: boolean
  /** It cannot be reached any more: the copies are recorded as lost. */
  readonly lost: boolean
  readonly timeoutMs: number
  /** Takes it out of the fleet file; called at the end. */
  readonly save: () => Promise<void>
}

export interface RemovePlan {
  readonly server: string
  readonly inFleet: boolean
  readonly sites: readonly DnsSite[]
  /** Sites where something else than the DNS leads to it. */
  readonly behind: readonly string[]
  readonly lineages: readonly string[]
  readonly copies: readonly KeyCopy[]
  /** Commands that take our include files there away, as far as the record knows of them. */
  readonly uninstalls: readonly string[]
}

export interface Removed {
  readonly server: string
  readonly withdrawn: readonly string[]
  readonly purged: readonly string[]
  readonly lost: readonly string[]
  /** How it was seen that no file with the key is left: by the keys themselves, or by the paths where there is no openssl. */
  readonly proof: 'keys' | 'paths' | null
  /** The service has the certificate in its memory still. */
  readonly stillServed: boolean
  /** Lineages whose key should be replaced. */
  readonly rekey: readonly string[]
}

interface Place {
  readonly server: Server
  readonly settings: ReceiverSettings
}

const handshakeTimeoutMs = 5_000
const tellEveryMs = 30_000

/**
 * What removing a server means, from the fleet file, else from the record. Nothing is asked and nothing is changed.
 * @throws OnecertError SERVER_UNKNOWN, SERVER_LAST
 */
export async function planRemoval(context: Context, name: string): Promise<RemovePlan> {
  const { fleet, ledger } = context
  const entries = await ledger.entries({ server: name })
  const inFleet = fleet.servers.has(name)
  if (!inFleet && entries.length === 0) {
    const near = closest(name, [...fleet.servers.keys()])
    fail('SERVER_UNKNOWN', {
      what: `no server "${quote(name)}" in the fleet file or in the ledger`,
      ...(near && { fact: `did you mean "${near}"?` }),
    })
  }
  const here = sitesOn(fleet, name)
  for (const { name: site, topology } of here) requireAnother(site, topology.servers, name)
  const copies = keyCopies(entries)
  const place = await placeOf(context, name)
  // Of what left the fleet file nobody knows which sites led to it: all of them are looked at.
  const sites = inFleet ? dnsSites(fleet, name) : place ? allDnsSites(context) : []
  const lineages = new Set([
    ...(place?.settings.lineages.map(({ lineage }) => lineage) ?? []),
    ...copies.map(({ lineage }) => lineage),
  ])
  const behind = here.flatMap((site) => (site.topology.kind === 'dns' ? [] : [site.name]))
  const uninstalls = installedIncludes(entries).map((path) => uninstallOf(context, name, path))
  return { server: name, inFleet, sites, behind, lineages: [...lineages], copies, uninstalls }
}

/** Paths of the include files that `onecert config --install` left there. */
function installedIncludes(entries: readonly Entry[]): string[] {
  const last = new Map<string, string | undefined>()
  for (const { effect, phase, result, path, way } of entries)
    if (effect === 'configure' && phase === 'outcome' && result === 'done' && path) last.set(path, way)
  return [...last].flatMap(([path, way]) => (way === 'installed' ? [path] : []))
}

/** What takes an include file away: by hand where no site of the fleet file has it any more. */
function uninstallOf({ fleet }: Context, name: string, path: string): string {
  const server = fleet.servers.get(name)
  const site = sitesOn(fleet, name).find((each) => server && includePath(server, each.name) === path)
  return site
    ? `onecert config ${site.name} --server ${name} --uninstall`
    : `delete ${path} on ${name} and reload its service`
}

/**
 * Withdraw → wait → purge, proven → forget. Each step that is done already is found and left alone, so the same call goes on
 * where another one ended; how long to wait is kept between them.
 * An include file of ours is taken away by a command of its own: not before nobody comes to the server any more, and before
 * the files go that it names.
 * @throws OnecertError DNS_LAST_ADDRESS, DNS_STILL_SHOWN, DNS_*; SSH_*, INCLUDE_INSTALLED, PURGE_LEFT: the server is in the
 * fleet file still
 */
export async function removeServer(context: Context, name: string, options: RemoveOptions): Promise<Removed> {
  const plan = await planRemoval(context, name)
  const place = await placeOf(context, name)
  return withLease(context, `server..${name}`, async (_, signal) => {
    const inLease = { ...context, signal }
    const withdrawn = place ? await leaveDns(inLease, plan, place.server, options) : []
    const gone = options.lost ? await lose(inLease, plan) : await purgeAll(inLease, plan, place, options)
    await options.save()
    await forgetServer(inLease, name)
    for (const { site } of place ? plan.sites : []) {
      if (place) await withdrawals(inLease).remove(withdrawalName(site, place.server))
    }
    return { server: name, withdrawn, ...gone }
  })
}

/** Where it is and what its receiver may do; null: nobody knows any more. */
async function placeOf(context: Context, name: string): Promise<Place | null> {
  const server = context.fleet.servers.get(name)
  const known = await rememberedServer(context, name)
  if (!server) return known && { server: { ...known.server, files: new Map() }, settings: known.settings }
  const settings = receiverSettings(context.fleet, server)
  // A lineage that it served once, and that no site leads to it any more, may lie there still.
  const before = known?.settings.lineages ?? []
  const also = before.filter(({ lineage }) => !settings.lineages.some((each) => each.lineage === lineage))
  return { server, settings: { ...settings, lineages: [...settings.lineages, ...also] } }
}

function allDnsSites({ fleet }: Context): DnsSite[] {
  return [...fleet.sites.values()].flatMap(({ name: site, topology }) => {
    const zone = topology.kind === 'dns' ? zoneOfSite(fleet, site) : undefined
    return zone ? [{ site, zone }] : []
  })
}

/** @returns the sites that it was withdrawn from, now or by a command that this one goes on with */
async function leaveDns(
  context: Context,
  { sites }: RemovePlan,
  server: Server,
  { now, lost }: RemoveOptions,
): Promise<string[]> {
  const own = sites.filter(({ zone, site }) => zone !== undefined && !sharesAddress(context, site, server))
  const patient = !now && !lost
  for (const each of own) {
    const { site, zone } = each
    if (!zone) continue
    // Else an apply that proves it meanwhile would put it back.
    await endQuarantine(context, site, server.name)
    if (patient) await noteTtlShown(context, each, server)
    const wasThere = await withdrawAddress(context, zone, site, server, { keep: 1 })
    if (patient) await untilSeen(context, zone, site, server, 'gone')
    if (!wasThere) continue
    for (const address of server.addresses)
      context.report({ kind: 'server', server: server.name, text: `${address} is out of ${site}` })
  }
  const withdrawn: string[] = []
  for (const { site } of own) {
    if (await withdrawals(context).read(withdrawalName(site, server))) withdrawn.push(site)
  }
  if (!patient) return withdrawn
  for (const each of sites) if (!each.zone) await requireGone(context, each, server)
  await untilForgotten(context, own, server)
  return withdrawn
}

/** Another server of the site stands behind an address of it, at another port. */
function sharesAddress({ fleet }: Context, site: string, server: Server): boolean {
  const others = fleet.sites.get(site)?.topology.servers.filter((name) => name !== server.name) ?? []
  return others.some((name) => {
    const own = server.addresses.map(canonicalAddress)
    return fleet.servers.get(name)?.addresses.some((each) => own.includes(canonicalAddress(each))) ?? false
  })
}

/** Where a person writes the records. @throws OnecertError DNS_STILL_SHOWN, DNS_* */
async function requireGone(context: Context, each: DnsSite, server: Server): Promise<void> {
  const records = recordTexts(each.site, server)
  const next = `take the record${records.length === 1 ? '' : 's'} ${records.join(' and ')} out of its zone, then: onecert server remove ${server.name}\nor, where nothing is to be waited for: onecert server remove ${server.name} --now`
  const { sights, ttlS } = await whoShows(context, each, server).catch((thrown: unknown) => {
    throw retold(asOnecertError(thrown), { state: 'nothing was changed', next })
  })
  if (sights.length === 0) return
  const shown = sights.map((sight) => (sight.as === 'authority' ? sight.server : `the resolver ${sight.server}`))
  fail('DNS_STILL_SHOWN', {
    what: `${each.site} still leads to ${server.name} (${server.addresses.join(', ')})`,
    fact: `shown by ${[...new Set(shown)].join(', ')}, for ${ttlS} s and more`,
    state: `nothing was changed; ${each.site} is in no zone of the fleet file, so onecert does not write its records`,
    next,
  })
}

/** Until no resolver may remember the address: the largest TTL seen, from when the last name server dropped it. */
async function untilForgotten(context: Context, sites: readonly DnsSite[], server: Server): Promise<void> {
  const { clock, signal, report } = context
  const ends = await Promise.all(
    sites.map(async ({ site }) => {
      const withdrawal = await withdrawals(context).read(withdrawalName(site, server))
      if (!withdrawal) return 0
      // A time in the future is one of a clock that was wrong.
      return Math.min(withdrawal.goneAtMs ?? clock.nowMs(), clock.nowMs()) + withdrawal.ttlS * 1000
    }),
  )
  const untilMs = Math.max(0, ...ends)
  for (let leftMs = untilMs - clock.nowMs(); leftMs > 0; leftMs = untilMs - clock.nowMs()) {
    const text = `resolvers may remember ${server.addresses.join(' and ')} for ${Math.ceil(leftMs / 1000)} s more`
    report({ kind: 'server', server: server.name, text: `${text} (Ctrl-C: the same command goes on from here)` })
    await clock.sleep(Math.min(leftMs, tellEveryMs), signal)
  }
}

type Gone = Pick<Removed, 'purged' | 'lost' | 'proof' | 'stillServed' | 'rekey'>

async function lose({ ledger, report, store }: Context, { server, copies, lineages }: RemovePlan): Promise<Gone> {
  const lost = { effect: 'lost', server, reason: 'the server cannot be reached any more' } as const
  for (const { lineage, path, spki } of copies) await ledger.done({ ...lost, lineage, path, spki })
  for (const { lineage, path } of ticketCopies(await ledger.entries({ server }))) {
    await ledger.done({ ...lost, lineage, path })
    await noteHeld(store, lineage, server, null)
  }
  report({ kind: 'server', server, text: `${copies.length} key copies are recorded as lost` })
  return { purged: [], lost: copies.map(({ path }) => path), proof: null, stillServed: false, rekey: lineages }
}

async function purgeAll(
  context: Context,
  { server: name, lineages, copies }: RemovePlan,
  place: Place | null,
  { timeoutMs }: RemoveOptions,
): Promise<Gone> {
  const nothing: Gone = { purged: [], lost: [], proof: null, stillServed: false, rekey: [] }
  if (copies.length === 0 && lineages.length === 0) return nothing
  if (!place) {
    fail('SERVER_UNKNOWN', {
      what: `how ${name} was reached is not known any more`,
      fact: `it is not in the fleet file; the ledger has ${copies.length} key copies there`,
      state: 'nothing was changed',
      next: `put its entry back into the fleet file and run it again, or, if it is gone for good: onecert server remove ${name} --lost`,
    })
  }
  const { server, settings } = place
  const known = settings.lineages.map(({ lineage }) => lineage)
  const proofs: string[] = []
  const purge = async (connection: Connection) => {
    for (const lineage of lineages.filter((each) => known.includes(each))) {
      const ours = copies.filter((copy) => copy.lineage === lineage)
      proofs.push(await purgeLineage(context, connection, place, lineage, ours))
      context.report({ kind: 'server', server: name, text: `no file with a key of ${lineage} is left there` })
    }
  }
  await withConnection(context, server, receiverText(settings, 'removal'), purge, timeoutMs)
  return {
    ...nothing,
    purged: copies.map(({ path }) => path),
    proof: proofs.includes('paths') ? 'paths' : 'keys',
    stillServed: await stillServed(context, server, lineages),
  }
}

/** @returns how the server has seen that nothing is left */
async function purgeLineage(
  context: Context,
  connection: Connection,
  { server, settings }: Place,
  lineage: string,
  copies: readonly KeyCopy[],
): Promise<string> {
  const { ledger, store } = context
  const stored = (await store.generations(lineage)).map(({ spki }) => spki)
  // What lay there before the first rollout (generation 0) is deleted too, but copies of it elsewhere are not our matter.
  const copied = copies.filter(({ generation }) => generation !== 0).map(({ spki }) => spki)
  const spkis = [...new Set([...stored, ...copied])].filter((spki) => spki !== '')
  const sets = ticketCopies(await ledger.entries({ lineage, server: server.name }))
  const paths = [`${settings.directory}/${lineage}`, ...[...copies, ...sets].map(({ path }) => path)]
  return withLease(context, lineage, async (token) => {
    const purge = async () => {
      const answer = await connection.request('purge', [lineage, String(token), ...spkis])
      if (answer.ok) return answer.facts.get('proof') ?? 'paths'
      return purgeRefused(context, server.name, lineage, answer)
    }
    // The intent of each path is on disk before any of them goes.
    const proof = await paths.reduceRight<() => Promise<string>>((run, path) => {
      const spki = copies.find((copy) => copy.path === path)?.spki
      const fields = { effect: 'purge', server: server.name, lineage, token, path, ...(spki && { spki }) } as const
      return () => ledger.effect(fields, run)
    }, purge)()
    if (sets.length > 0) await noteHeld(store, lineage, server.name, null)
    return proof
  })
}

function purgeRefused(context: Context, server: string, lineage: string, answer: Answer): never {
  if (answer.code === 'INCLUDE_INSTALLED') {
    const installed = answer.output.map((path) => quote(path, 200))
    fail('INCLUDE_INSTALLED', {
      what: `the configuration of ${server} still has an include file of onecert, which names files of ${lineage}`,
      fact: installed.join('\n'),
      state: `no file was purged on ${server}`,
      next: [
        ...installed.map((path) => uninstallOf(context, server, path)),
        `onecert server remove ${server}   (it goes on from there)`,
      ].join('\n'),
    })
  }
  fail(answer.code ?? 'RECEIVER_PROTOCOL', {
    what: `the key of ${lineage} could not be purged from ${server}`,
    fact: outputText(answer) || [...answer.facts].join(' '),
    state: `the address of ${server} is out of the DNS; what is left of the copies is in the ledger still (onecert ledger keys)`,
    next:
      answer.code === 'PURGE_LEFT'
        ? `these files hold the key and are not onecert's: delete them there, then: onecert server remove ${server}`
        : `onecert server remove ${server}`,
  })
}

/** A running service keeps what it has read. */
async function stillServed(context: Context, server: Server, lineages: readonly string[]): Promise<boolean> {
  const { fleet, store, signal } = context
  const sites = [...fleet.sites.values()].filter(({ certificates }) =>
    certificates.some((each) => lineages.includes(each)),
  )
  const ours = (await Promise.all(lineages.map((each) => store.generations(each))))
    .flat()
    .map(({ fingerprint }) => fingerprint)
  for (const { name } of server.probe === 'direct' ? sites : []) {
    for (const endpoint of endpointsOf({ server, names: [name] })) {
      const served = await handshake(endpoint, { timeoutMs: handshakeTimeoutMs, signal }).catch(() => null)
      if (served && ours.includes(served.chain[0] ?? '')) return true
    }
  }
  return false
}
