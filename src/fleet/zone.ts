import type { Fleet, Zone } from './fleet.ts'

/** The nearest zone that a name is in; of names in lower case. */
export function zoneNameOf(name: string, zones: readonly string[]): string | undefined {
  const around = zones.filter((zone) => name === zone || name.endsWith(`.${zone}`))
  return around.toSorted((left, right) => right.length - left.length)[0]
}

/** Where the addresses of a site are published; undefined: by hand. */
export function zoneOfSite({ zones }: Fleet, site: string): Zone | undefined {
  return zones.get(zoneNameOf(site, [...zones.keys()]) ?? '')
}
