import type { z } from 'zod'
import { quote } from '../../base/errors.ts'
import { covers } from '../../pki/names.ts'
import type { Path, Source } from '../source.ts'
import { zoneNameOf } from '../zone.ts'
import { type balanced, type Outline, serversOf } from './outline.ts'
import { hostNameOf, listCharactersMax, refer, repetitions } from './reference.ts'

export function reportSitesTwice(source: Source, written: readonly string[]): void {
  for (const [again, first] of repetitions(written.map(hostNameOf))) {
    const [path, before] = [
      ['sites', written[again] ?? ''],
      ['sites', written[first] ?? ''],
    ]
    source.report(
      'CONFIG_DUPLICATE_KEY',
      path,
      () => ({
        what: `the site "${quote(written[again] ?? '')}" is here a second time`,
        fact: `the first is "${quote(written[first] ?? '')}" in line ${source.lineOf(before)}`,
        next: 'take one of them away',
      }),
      'key',
    )
  }
}

export function reportUncovered(
  source: Source,
  written: string,
  certificate: string | undefined,
  { certificates }: Outline,
): void {
  const name = hostNameOf(written)
  if (certificate === undefined || !certificates || !Object.hasOwn(certificates, certificate)) return
  const names = certificates[certificate]?.names.map(hostNameOf) ?? []
  // A name that is none may be the one that was meant to cover it.
  if (name === undefined || names.length === 0 || !names.every((each) => each !== undefined) || covers(names, name))
    return
  source.report(
    'CONFIG_BAD_VALUE',
    ['sites', written],
    () => ({
      what: `the certificate "${quote(certificate)}" does not cover ${quote(name)}`,
      fact: `it names ${quote(names.join(', '), listCharactersMax)}`,
      next: `add ${quote(name)} to certificates.${quote(certificate)}.names`,
    }),
    'key',
  )
}

/** Which of both a client gets, its algorithms decide: so they must differ in the kind of their key, and be looked at from here. */
export function reportPair(source: Source, site: string, names: readonly (string | undefined)[], fleet: Outline): void {
  const path = ['sites', site, 'certificate']
  const kinds = names.map((name) => (fleet.certificates?.[name ?? '']?.key?.type?.startsWith('rsa') ? 'RSA' : 'EC'))
  if (names.length === 2 && kinds[0] === kinds[1]) {
    source.report('CONFIG_BAD_VALUE', path, () => ({
      what: `both certificates of "${quote(site)}" have an ${kinds[0]} key`,
      fact: 'clients choose between an EC and an RSA key',
      next: 'give one of them key: { type: rsa-2048 }',
    }))
  }
  const written = fleet.sites?.[site]
  const servers = [written?.dns, written?.['load-balancer']?.servers, written?.['reverse-proxy']?.servers].flat()
  const hidden = servers.find((server) => fleet.servers?.[server ?? '']?.probe === 'through-server')
  if (hidden === undefined) return
  source.report('CONFIG_BAD_VALUE', path, () => ({
    what: `two certificates on "${quote(site)}", and ${quote(hidden)} is looked at through the server`,
    fact: 'which of both is served can be seen from here alone',
    next: `take "probe" of ${quote(hidden)} away, or one of the certificates`,
  }))
}

/** A site is served where something terminates TLS. */
export function reportWithoutService(
  source: Source,
  servers: readonly (string | undefined)[],
  path: Path,
  fleet: Outline,
): void {
  for (const [index, server] of servers.entries()) {
    if (fleet.servers?.[server ?? '']?.service !== 'none') continue
    source.report('CONFIG_BAD_VALUE', [...path, index], () => ({
      what: `"${quote(server ?? '')}" terminates no TLS: its service is "none"`,
      next: 'give it a service, or take it out of this list',
    }))
  }
}

/** A standby is one of the proxies; a server behind them is none of them, for no key of the site belongs there. */
export function reportProxies(
  source: Source,
  proxies: NonNullable<NonNullable<Outline['sites']>[string]>['reverse-proxy'],
  path: Path,
  fleet: Outline,
): void {
  if (!proxies) return
  for (const [at, server] of proxies.standby.entries()) {
    refer(source, 'server', server, fleet.servers, [...path, 'standby', at])
    if (server === undefined || !fleet.servers?.[server] || proxies.servers.includes(server)) continue
    source.report('CONFIG_BAD_VALUE', [...path, 'standby', at], () => ({
      what: `the standby "${quote(server)}" is not among the servers of the site`,
      next: `add it to "servers" too: it holds a copy, and is proved like the others`,
    }))
  }
  if (proxies.servers.length > 0 && proxies.servers.every((server) => proxies.standby.includes(server))) {
    source.report('CONFIG_BAD_VALUE', [...path, 'standby'], () => ({
      what: 'all servers of the site are standbys',
      next: 'take the one that clients come to out of "standby"',
    }))
  }
  for (const [at, upstream] of proxies.upstreams.entries()) {
    const server = upstream?.server
    refer(source, 'server', server, fleet.servers, [...path, 'upstreams', at, 'server'])
    if (server === undefined || !proxies.servers.includes(server)) continue
    source.report('CONFIG_BAD_VALUE', [...path, 'upstreams', at, 'server'], () => ({
      what: `"${quote(server)}" is a proxy of the site and an upstream behind it`,
      fact: 'a proxy holds the key, an upstream must not',
      next: 'take one of them away',
    }))
  }
}

/** What is to be taken out of the DNS has to be in a zone that we may change. */
export function reportOutOfZones(source: Source, written: string, { zones = {} }: Outline): void {
  const name = hostNameOf(written)
  if (
    name === undefined ||
    zoneNameOf(
      name,
      Object.keys(zones).flatMap((each) => hostNameOf(each) ?? []),
    )
  )
    return
  source.report('CONFIG_BAD_VALUE', ['sites', written, 'quarantine'], () => ({
    what: `"${quote(written)}" has a quarantine, and lies in none of the zones`,
    fact: `zones: ${quote(Object.keys(zones).join(', ') || 'none', listCharactersMax)}`,
    next: 'add its zone to "zones", or take "quarantine" away',
  }))
}

/** Who is named in `control` has to be a member of the site, each by a name of its own. */
export function reportStrangers(source: Source, path: Path, balancer: z.output<typeof balanced>): void {
  const servers = Object.fromEntries((balancer?.servers ?? []).map((server) => [server ?? '', true]))
  const written = balancer?.control
  for (const [at, each] of [written].flat().entries()) {
    const members = each?.haproxy.members ?? {}
    const place = [...path, 'control', ...(Array.isArray(written) ? [at] : []), 'haproxy', 'members']
    for (const server of Object.keys(members)) refer(source, 'member', server, servers, [...place, server])
    const names = Object.keys(servers).map((server) => members[server] ?? server)
    for (const [again, first] of repetitions(names)) {
      const [second, before] = [Object.keys(servers)[again] ?? '', Object.keys(servers)[first] ?? '']
      source.report('CONFIG_BAD_VALUE', place, () => ({
        what: `"${quote(before)}" and "${quote(second)}" are one server of HAProxy: "${quote(names[again] ?? '')}"`,
        next: 'give each its own name in "members"',
      }))
    }
  }
}

/** A port shows one certificate, or a pair, to whoever names no host. */
export function reportTwoDefaults(source: Source, { sites = {} }: Outline): void {
  const defaults = new Map<string | undefined, string>()
  const certificatesOf = (name: string) => [sites[name]?.certificate].flat().sort().join()
  for (const [name, site] of Object.entries(sites)) {
    if (!site?.['without-sni']) continue
    for (const server of serversOf(site)) {
      const other = defaults.get(server)
      defaults.set(server, other ?? name)
      if (other === undefined || server === undefined || certificatesOf(name) === certificatesOf(other)) continue
      source.report('CONFIG_BAD_VALUE', ['sites', name, 'without-sni'], () => ({
        what: `"${quote(other)}" and "${quote(name)}" are both the default of "${quote(server)}", with different certificates`,
        fact: 'who names no host sees one of them',
        next: 'take "without-sni" away from one of them',
      }))
    }
  }
}
