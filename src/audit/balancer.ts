import { incompleteChain } from '../observe/served.ts'
import { type Desired, generationText } from './desired.ts'
import { type Finding, finding } from './finding.ts'

/** What fresh connections through a balancer showed. */
export interface BalancerSeen {
  readonly site: string
  /** `address:port` of the balancer. */
  readonly place: string
  readonly connections: number
  /** By leaf (SHA-256, lower hex); `wrong`: why it is not what should be served, null: it is. */
  readonly seen: readonly {
    readonly fingerprint: string
    readonly connections: number
    readonly wrong: string | null
  }[]
  /** Connections that showed nothing, and why the last of them did. */
  readonly failed: number
  readonly failure: string | null
}

/**
 * What comes through a balancer, from members that the fleet file knows or not. Pure.
 * @param opensAt when the maintenance window of a member opens, for which it waits with an older certificate; null: none waits
 */
export function judgeBalancer(
  { certificate, newest, numbers }: Desired,
  { site, place, connections: all, seen, failed, failure }: BalancerSeen,
  opensAt: string | null,
): Finding[] {
  const base = { certificate, site, place }
  const others = seen.flatMap(({ fingerprint, connections, wrong }): Finding[] => {
    if (wrong === null) return []
    const count = `through the balancer ${connections} of ${all} connections show`
    const shows = {
      ...base,
      expected: newest && generationText(newest.number, newest.chain[0]),
      served: wrong.replace(/^serves /, ''),
    }
    if (fingerprint === newest?.chain[0]) {
      // Whichever member it is, it was brought the right one.
      return [
        finding(wrong === incompleteChain ? 'incomplete-chain' : 'other-chain', {
          ...shows,
          what: `${count} the newest certificate, and what is sent with it is not what was issued`,
          repair: `onecert apply ${certificate}`,
        }),
      ]
    }
    const isOlder = numbers.has(fingerprint)
    if (isOlder && opensAt !== null) {
      return [
        finding('waits-for-window', {
          ...shows,
          what: `${count} an older certificate, until a maintenance window opens, ${opensAt}`,
          repair: `onecert apply ${certificate}, when it is open`,
        }),
      ]
    }
    return [
      finding(isOlder ? 'old-certificate' : 'other-member', {
        ...shows,
        what: `${count} ${isOlder ? 'an older certificate' : 'something else'}`,
        repair: `look which servers the balancer has beside those of the fleet file; then: onecert apply ${certificate}`,
      }),
    ]
  })
  if (failed === 0) return others
  const what = `${failed} of ${all} connections through the balancer showed nothing: ${failure}`
  return [...others, finding('unreachable', { ...base, what, repair: 'look at the balancer; then: onecert audit' })]
}
