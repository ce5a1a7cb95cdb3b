import { type Endpoint, endpointText } from '../observe/endpoint.ts'
import { type Served, servedWrong } from '../observe/served.ts'
import type { Desired } from './desired.ts'
import type { DiskJudged } from './disk.ts'
import { type Finding, finding } from './finding.ts'

/** One look at an endpoint: what it served, or why that could not be seen. */
export interface EndpointSeen {
  readonly server: string
  readonly endpoint: Endpoint
  readonly served: Served | null
  readonly reason: string | null
}

/** A renewal is due when a third of the lifetime is left: with less than this it has failed again and again. */
const lateShare = 0.2

/**
 * What is served, against what should be; the disk tells which step is missing. Pure.
 * @param opensAt when its maintenance window opens, for which it waits; null: it waits for none
 */
export function judgeServed(
  desired: Desired,
  { server, endpoint, served, reason }: EndpointSeen,
  disk: DiskJudged | null,
  nowMs: number,
  opensAt: string | null = null,
): Finding[] {
  const { certificate, newest } = desired
  const base = {
    certificate,
    server,
    site: endpoint.name,
    place: endpointText(endpoint),
    repair: `onecert apply ${certificate}`,
  }
  if (served === null) {
    return [
      finding('unreachable', {
        ...base,
        what: `what it serves could not be seen: ${reason}`,
        repair: 'look at the server; then: onecert audit',
      }),
    ]
  }
  const found: Finding[] = []
  const [leaf = ''] = served.chain
  const shows = { expected: newest && generationName(newest.number, newest.chain[0]), served: seen(desired, leaf) }
  if (served.notAfterMs <= nowMs) {
    const since = new Date(served.notAfterMs).toISOString().slice(0, 16)
    found.push(finding('expired', { ...base, ...shows, what: `serves a certificate that expired at ${since}Z` }))
  }
  if (newest === null) return found
  const leftMs = newest.notAfterMs - nowMs
  if (leaf === newest.chain[0] && leftMs > 0 && leftMs < (newest.notAfterMs - newest.notBeforeMs) * lateShare) {
    found.push(
      finding('expiring', {
        ...base,
        ...shows,
        what: `its certificate expires at ${new Date(newest.notAfterMs).toISOString().slice(0, 16)}Z, and there is no newer one`,
      }),
    )
  }
  const wrong = servedWrong(served.chain, newest)
  if (wrong === null) return found
  if (leaf === newest.chain[0]) {
    const incomplete = served.chain.length < newest.chain.length
    found.push(
      finding(incomplete ? 'incomplete-chain' : 'other-chain', {
        ...base,
        ...shows,
        what: incomplete
          ? `serves ${served.chain.length} of ${newest.chain.length} certificates: clients without the intermediate refuse it`
          : 'serves other intermediates',
        served: served.chain.map((each) => each.slice(0, 8)).join(' '),
        expected: newest.chain.map((each) => each.slice(0, 8)).join(' '),
      }),
    )
  } else if (opensAt !== null && served.notAfterMs > nowMs && desired.numbers.has(leaf) && !disk?.isNewest) {
    found.push(
      finding('waits-for-window', {
        ...base,
        ...shows,
        what: `serves an older certificate until its maintenance window opens, ${opensAt}`,
        disk: disk?.current ?? null,
        repair: `onecert apply ${certificate}, when it is open; or now: onecert apply ${certificate} --server ${server} --now "the reason"`,
      }),
    )
  } else {
    found.push(wrongLeaf(desired, base, shows, leaf, disk))
  }
  return found
}

type Base = Pick<Finding, 'certificate' | 'server' | 'site' | 'place' | 'repair'>

function wrongLeaf(
  desired: Desired,
  base: Base,
  shows: Pick<Finding, 'expected' | 'served'>,
  leaf: string,
  disk: DiskJudged | null,
): Finding {
  const lies = disk?.current ?? null
  const found = { ...base, ...shows, disk: lies }
  if (!desired.numbers.has(leaf)) {
    return finding('other-certificate', {
      ...found,
      what: 'serves a certificate that is none of this lineage: another virtual host answers, or somebody put it there',
    })
  }
  if (disk === null) return finding('old-certificate', { ...found, what: 'serves an older certificate' })
  return disk.isNewest
    ? finding('not-reloaded', { ...found, what: 'has the new certificate on disk and serves an older one' })
    : finding('never-copied', { ...found, what: 'was never given the new certificate, and serves an older one' })
}

function seen({ numbers }: Desired, leaf: string): string {
  const number = numbers.get(leaf)
  return number === undefined ? `leaf ${leaf.slice(0, 8)}` : generationName(number, leaf)
}

/** For people. */
export function generationName(number: number, leaf = ''): string {
  return `generation ${number} (${leaf.slice(0, 8)})`
}
