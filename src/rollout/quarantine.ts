import { hourMs } from '../base/clock.ts'
import type { QuarantinePolicy } from '../fleet/fleet.ts'

/** What is known of one server of a site, after a rollout. */
export interface QuarantineFacts {
  readonly server: string
  /** How many it has. */
  readonly addresses: number
  /** How many of them are in the DNS, as the primary has it. */
  readonly published: number
  /** It was we who took it out of the DNS. */
  readonly quarantined: boolean
  /** It serves the newest generation now. */
  readonly proven: boolean
  /** The end of what it serves, or of what it was last seen to serve; null: nobody knows. */
  readonly notAfterMs: number | null
}

export interface QuarantineDecision {
  readonly server: string
  readonly act: 'withdraw' | 'restore'
  readonly reason: string
}

/**
 * Who is taken out of the DNS, and who comes back. Pure.
 *
 * A server goes that is not proven when what it serves ends soon, the soonest first. It goes only as long as a published
 * server is better than that: where all of them end soon, taking some away gains nothing. The last `keep` addresses of the
 * name, be they ours or not, stay always.
 * @param addresses how many addresses the name has in the DNS
 */
export function decideQuarantine(
  servers: readonly QuarantineFacts[],
  { beforeMs, keep }: QuarantinePolicy,
  { addresses, nowMs }: { readonly addresses: number; readonly nowMs: number },
): QuarantineDecision[] {
  const leftMs = ({ notAfterMs }: QuarantineFacts) => (notAfterMs ?? Number.POSITIVE_INFINITY) - nowMs
  const restored = servers.filter(
    (each) => each.quarantined && each.published < each.addresses && each.proven && leftMs(each) > 0,
  )
  const ending = servers
    .filter((each) => each.published > 0 && !each.proven && leftMs(each) <= beforeMs)
    .toSorted((left, right) => leftMs(left) - leftMs(right))
  const better = servers.some((each) => each.published > 0 && each.proven && leftMs(each) > beforeMs)
  let mayGo = better ? addresses + restored.reduce((sum, each) => sum + each.addresses - each.published, 0) - keep : 0
  const going = ending.filter(({ published }) => {
    if (published > mayGo) return false
    mayGo -= published
    return true
  })
  return [
    ...restored.map(({ server }) => ({ server, act: 'restore', reason: 'it is proven again' }) as const),
    ...going.map((each) => ({ server: each.server, act: 'withdraw', reason: endText(leftMs(each)) }) as const),
  ]
}

function endText(leftMs: number): string {
  const hours = Math.abs(leftMs) / hourMs
  const span =
    hours >= 48
      ? `${Math.floor(hours / 24)} days`
      : hours >= 1
        ? `${Math.floor(hours)} h`
        : `${Math.floor(hours * 60)} min`
  return leftMs > 0 ? `it is not renewed, and what it serves ends in ${span}` : `what it serves ended ${span} ago`
}
