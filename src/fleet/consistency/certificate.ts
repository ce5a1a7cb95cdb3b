import { quote } from '../../base/errors.ts'
import type { Source } from '../source.ts'
import { kindOf, type Outline, serversOf } from './outline.ts'
import { hostNameOf } from './reference.ts'

/** What can be told without the CA: how it would have to be convinced of each name, and that no such way is there. */
export function reportUnprovable(
  source: Source,
  certificate: string,
  { names, issuer }: NonNullable<NonNullable<Outline['certificates']>[string]>,
  fleet: Outline,
): void {
  const sites = fleet.sites && Object.keys(fleet.sites).map(hostNameOf)
  for (const [at, name] of names.map(hostNameOf).entries()) {
    for (const each of [issuer].flat()) {
      const spec = each !== undefined && fleet.issuers && Object.hasOwn(fleet.issuers, each) && fleet.issuers[each]
      if (!spec || spec.acme === undefined || name === undefined) continue
      if (spec['dns-01'] !== undefined || spec['dns-persist-01'] !== undefined) continue
      const path = ['certificates', certificate, 'names', at]
      const [http, alpn] = [spec['http-01'] !== undefined, spec['tls-alpn-01'] !== undefined]
      // An issuer without any way is told by the schema; a site whose name is none may be the one that was meant.
      const nowhere = http && !alpn && sites?.every((site) => site !== undefined && site !== name)
      if (name.startsWith('*.') && (http || alpn)) {
        source.report('ACME_NO_CHALLENGE', path, () => ({
          what: `no way to prove ${quote(name)} to the issuer "${quote(each)}"`,
          fact: `it has ${[http && 'http-01', alpn && 'tls-alpn-01'].filter(Boolean).join(', ')}; a wildcard is proved by DNS alone`,
          next: `add "dns-01" to issuers.${quote(each)}`,
        }))
      } else if (!name.startsWith('*.') && nowhere) {
        source.report('CHALLENGE_NO_SERVER', path, () => ({
          what: `no server answers for ${quote(name)}`,
          fact: `the issuer "${quote(each)}" has http-01 alone, and no site has this name`,
          next: `add a site ${quote(name)}, or "dns-01" to issuers.${quote(each)}`,
        }))
      } else continue
      break
    }
  }
}

/** Services that take other session ticket keys with a reload (services/tickets.ts). */
const takeTickets = ['nginx', 'haproxy']

/** Of a mixed fleet those that can have them; where no server can, the wish is a mistake. */
export function reportTicketsForNobody(source: Source, certificate: string, { sites, servers }: Outline): void {
  const names = Object.values(sites ?? {}).flatMap((site) =>
    site && [site.certificate].flat().includes(certificate) ? serversOf(site) : [],
  )
  const kinds = [...new Set(names)].map((name) => kindOf(servers?.[name ?? '']?.service))
  if (kinds.length === 0 || kinds.some((kind) => kind === undefined || takeTickets.includes(kind))) return
  source.report('CONFIG_BAD_VALUE', ['certificates', certificate, 'tickets'], () => ({
    what: `no server of "${quote(certificate)}" can take session ticket keys`,
    fact: `nginx and HAProxy take new ones with a reload; the service here is ${[...new Set(kinds)].join(', ')}`,
    next: 'take "tickets" away',
  }))
}
