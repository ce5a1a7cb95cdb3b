import { fail, quote } from '../base/errors.ts'
import { closest } from '../base/similar.ts'
import type { Certificate, Fleet, Server, Site } from '../fleet/fleet.ts'
import { lineagesOn } from '../fleet/placement.ts'
import { listed } from '../pki/text.ts'

/** What a command names; absent means all. */
export interface Choice {
  readonly certificates?: readonly string[]
  readonly servers?: readonly string[]
}

/** How servers are looked at that serve what they should. */
export interface Thoroughness {
  /** What lies there is looked at too, and repaired: a damaged file that no service has read yet. */
  readonly thorough?: boolean
}

/** What a person says of maintenance windows. */
export interface Haste {
  /** Why they are not waited for; null: they are. */
  readonly now: string | null
}

/** @throws OnecertError USAGE with a did-you-mean, or where a server has none of the certificates: nothing would be looked at */
export function chosenCertificates(fleet: Fleet, choice: Choice): Certificate[] {
  for (const name of choice.servers ?? []) chosenServer(fleet, name)
  if (!choice.certificates?.length) return [...fleet.certificates.values()]
  const chosen = choice.certificates.map(
    (name) => fleet.certificates.get(name) ?? unknown('certificate', name, fleet.certificates),
  )
  for (const server of choice.servers ?? []) {
    const own = lineagesAt(fleet, server)
    if (chosen.some(({ name }) => own.includes(name))) continue
    fail('USAGE', {
      what: `${server} has nothing to do with ${listed(chosen.map(({ name }) => name))}`,
      fact: `its certificates: ${listed(own)}`,
    })
  }
  return chosen
}

/** Also of the sites that it is an upstream of. */
function lineagesAt(fleet: Fleet, server: string): string[] {
  const behind = [...fleet.sites.values()].filter(
    ({ topology }) => topology.kind === 'reverse-proxy' && topology.upstreams.some((each) => each.server === server),
  )
  return [...new Set([...lineagesOn(fleet, server), ...behind.flatMap(({ certificates }) => certificates)])]
}

/** With the certificates of a site in place of its name, where something is only looked at. */
export function readSites({ certificates: known, sites }: Fleet, choice: Choice): Choice {
  const { certificates: names = [] } = choice
  const meant = names.flatMap((name) => (known.has(name) ? [name] : (sites.get(name)?.certificates ?? [name])))
  return { ...choice, certificates: [...new Set(meant)] }
}

export function isChosen({ servers }: Choice, name: string): boolean {
  return servers?.includes(name) ?? true
}

export function chosenServer(fleet: Fleet, name: string): Server {
  return fleet.servers.get(name) ?? unknown('server', name, fleet.servers)
}

export function chosenSite(fleet: Fleet, name: string): Site {
  return fleet.sites.get(name) ?? unknown('site', name, fleet.sites)
}

function unknown(kind: string, name: string, known: ReadonlyMap<string, unknown>): never {
  const near = closest(name, [...known.keys()])
  fail(kind === 'server' ? 'SERVER_UNKNOWN' : 'USAGE', {
    what: `no ${kind} "${quote(name)}" in the fleet file`,
    fact: near ? `did you mean "${near}"?` : `there is ${listed([...known.keys()])}`,
  })
}
