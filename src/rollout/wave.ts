import type { RolloutPolicy, Site } from '../fleet/fleet.ts'

/** Servers in the order of the fleet file, cut into waves: the canary first, then the share that the policy allows. */
export function waves(servers: readonly string[], policy: RolloutPolicy): string[][] {
  const rest = servers.slice(policy.canary)
  const size = 'servers' in policy.wave ? policy.wave.servers : Math.max(1, Math.ceil(rest.length * policy.wave.share))
  const cut = servers.length > 0 ? [servers.slice(0, policy.canary)] : []
  for (let start = 0; start < rest.length; start += size) cut.push(rest.slice(start, start + size))
  return cut
}

/**
 * Moves fragile servers (their service may die of a reload) so that no wave holds all servers of a site: whatever
 * happens in a wave, another server of the site goes on serving. A site with a single server cannot be helped.
 */
export function spareLastHealthy(
  cut: readonly string[][],
  sites: readonly Site[],
  fragile: ReadonlySet<string>,
): string[][] {
  const spread: string[][] = []
  const late: string[] = []
  for (const wave of cut) {
    const kept = [...wave]
    for (const { topology } of sites) {
      const members = topology.servers
      if (members.length < 2 || !members.every((server) => kept.includes(server))) continue
      const moved = members.findLast((server) => fragile.has(server))
      if (moved === undefined) continue
      kept.splice(kept.indexOf(moved), 1)
      late.push(moved)
    }
    spread.push(kept)
  }
  return [...spread, ...late.map((server) => [server])].filter((wave) => wave.length > 0)
}

export interface Tally {
  readonly servers: number
  readonly failed: number
  readonly unreachable: number
  /** The canary wave is under way. */
  readonly canary: boolean
}

/**
 * Whether a rollout must stop before its next server or wave, and why. Failures are counted in whole servers:
 * the first one of the canary, later 5 % (at least one). Unreachable servers do not stop the others, until they are
 * more than half: then the fault is rather here than there.
 */
export function stopReason({ servers, failed, unreachable, canary }: Tally): string | null {
  if (canary && failed > 0) return 'the canary failed'
  const failuresMax = Math.max(1, Math.floor(servers * 0.05))
  if (failed >= failuresMax) return `${failed} of ${servers} servers failed (limit ${failuresMax})`
  if (unreachable > servers / 2 && unreachable > 1) return `${unreachable} of ${servers} servers cannot be reached`
  return null
}
