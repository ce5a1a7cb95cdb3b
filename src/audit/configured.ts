import type { Discovery } from '../services/discover/discover.ts'
import { namesOf } from '../services/discover/found.ts'
import { type Finding, finding } from './finding.ts'

/** Where the configuration of a service should look for the certificate of some sites. */
export interface OwnFiles {
  /** `<directory>/<lineage>` of each certificate of the sites: they may have two. */
  readonly folders: readonly string[]
  /** The explicit paths of the fleet file. */
  readonly paths: readonly string[]
}

/**
 * Other certificate files in the configuration of a service, for names of ours: of a second virtual host, at another port,
 * or beside ours. Names count as they are written: a wildcard beside them is for other names. Pure.
 * @param sites by host name
 */
export function judgeConfigured(
  { certificate, server }: { readonly certificate: string; readonly server: string },
  sites: ReadonlyMap<string, OwnFiles>,
  discovery: Discovery,
): Finding[] {
  const { kind, facts } = discovery
  const found = discovery.sites.flatMap((site) =>
    namesOf(site, facts).flatMap((name) => {
      const own = sites.get(name)
      if (own === undefined) return []
      return site.certificates.flatMap(({ chain, key }) => {
        // Caddy takes, of all that it has, the certificate that names the site.
        const names = facts.get(chain)?.names ?? []
        if (kind === 'caddy' && names.length > 0 && !names.includes(name)) return []
        const other = [chain, key].find((path) => path !== null && !isOurs(path, own, facts.get(path)?.real ?? path))
        return other ? [{ name, path: other, own }] : []
      })
    }),
  )
  return [...Map.groupBy(found, ({ path }) => path)].flatMap(([path, group]) => {
    const [first] = group
    if (!first) return []
    const { folders, paths } = first.own
    const expected = paths.length > 0 ? paths.join(', ') : folders.map((folder) => `${folder}/current`).join(', ')
    return finding('other-files', {
      certificate,
      server,
      site: first.name,
      place: path,
      what: `its configuration of ${kind} names other files for ${[...new Set(group.map(({ name }) => name))].join(', ')}`,
      expected,
      disk: path,
      repair: `on ${server}: name ${expected} in the configuration in place of ${path}, and reload ${kind}`,
    })
  })
}

/** A generation by its number is not ours: the next rollout would leave it behind. A link of somebody to `current` is. */
function isOurs(path: string, { folders, paths }: OwnFiles, real: string): boolean {
  if (paths.includes(path)) return true
  if (folders.some((folder) => path.startsWith(`${folder}/`))) return !/\/gen-\d[^/]*\//.test(path)
  return folders.some((folder) => real.startsWith(`${folder}/gen-`))
}
