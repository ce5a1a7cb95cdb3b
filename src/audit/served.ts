import { type Endpoint, endpointText, probedName } from '../observe/endpoint.ts'
import type { Served } from '../observe/served.ts'
import { nameOf } from '../pki/chain.ts'
import { nameDefects } from '../pki/defects.ts'
import { minute } from '../pki/text.ts'
import { type ChainDefect, judgeChain, readServed } from './chain.ts'
import { type Desired, type DesiredGeneration, generationText } from './desired.ts'
import type { DiskJudged } from './disk.ts'
import { type Finding, finding, type Reason } from './finding.ts'
import { weakKeys, weakSignatures } from './strength.ts'

/** An endpoint: what it served, or why that could not be seen. */
export interface EndpointSeen {
  readonly server: string
  readonly endpoint: Endpoint
  readonly served: Served | null
  readonly reason: string | null
  /** Further connections to it; absent: there were none. */
  readonly again?: readonly OneLook[]
  /** The older version of TLS that it takes, such as `TLSv1.1`; null: none, or nobody asked. */
  readonly oldProtocol?: string | null
}

/** One connection: what it served, or why that could not be seen. */
export interface OneLook {
  readonly served: Served | null
  readonly reason: string | null
}

/** A renewal is due when a third of the lifetime is left: with less than this it has failed again and again. */
const lateShare = 0.2

/** What is on disk may be right: the service adds to it, or reads something else. */
const byService: readonly ChainDefect['reason'][] = ['chain-order', 'chain-foreign', 'chain-with-root']

/**
 * What is served, against what should be; the disk tells which step is missing. Where its connections do not show the same,
 * the best of them is judged, and the others are told beside it. Pure.
 * @param opensAt when its maintenance window opens, for which it waits; null: it waits for none
 */
export function judgeServed(
  desired: Desired,
  seen: EndpointSeen,
  disk: DiskJudged | null,
  nowMs: number,
  opensAt: string | null = null,
): Finding[] {
  const { server, endpoint } = seen
  const { certificate, newest } = desired
  const base = {
    certificate,
    server,
    site: endpoint.name || null,
    place: endpointText(endpoint),
    repair: `onecert apply ${certificate}`,
  }
  const looks = [seen, ...(seen.again ?? [])]
  const shown = looks.flatMap(({ served }) => served ?? [])
  const best =
    shown.find(({ chain }) => chain[0] === newest?.chain[0]) ??
    shown.find(({ chain }) => desired.numbers.has(chain[0] ?? '')) ??
    shown[0]
  if (best === undefined) {
    return [
      finding('unreachable', {
        ...base,
        what: `what it serves could not be seen: ${seen.reason}`,
        repair: 'look at the server; then: onecert audit',
      }),
    ]
  }
  return [
    ...judgeLook(desired, base, best, disk, nowMs, opensAt),
    ...(newest !== null && best.chain[0] === newest.chain[0] ? judgeChains(newest, base, best, shown) : []),
    ...(newest === null ? [] : judgeOthers(desired, newest, base, best, shown)),
    ...judgeContent(base, best, nowMs, best.chain[0] === newest?.chain[0]),
    ...judgeRest(base, seen, looks),
  ]
}

/** What one connection showed. */
function judgeLook(
  desired: Desired,
  base: Base,
  served: Served,
  disk: DiskJudged | null,
  nowMs: number,
  opensAt: string | null,
): Finding[] {
  const { certificate, newest } = desired
  const found: Finding[] = []
  const [leaf = ''] = served.chain
  const shows = { expected: newest && generationText(newest.number, newest.chain[0]), served: seenName(desired, leaf) }
  if (served.notAfterMs <= nowMs) {
    const what = `serves a certificate that expired at ${minute(served.notAfterMs)}`
    found.push(finding('expired', { ...base, ...shows, what }))
  }
  if (newest === null) return found
  const leftMs = newest.notAfterMs - nowMs
  if (leaf === newest.chain[0] && leftMs > 0 && leftMs < (newest.notAfterMs - newest.notBeforeMs) * lateShare) {
    found.push(
      finding('expiring', {
        ...base,
        ...shows,
        what: `its certificate expires at ${minute(newest.notAfterMs)}, and there is no newer one`,
      }),
    )
  }
  if (leaf === newest.chain[0]) return found
  if (opensAt !== null && served.notAfterMs > nowMs && desired.numbers.has(leaf) && !disk?.isNewest) {
    found.push(
      finding('waits-for-window', {
        ...base,
        ...shows,
        what: `serves an older certificate until its maintenance window opens, ${opensAt}`,
        disk: disk?.current ?? null,
        repair: `onecert apply ${certificate}, when it is open; or now: onecert apply ${certificate} --server ${base.server} --now "the reason"`,
      }),
    )
  } else {
    found.push(wrongLeaf(desired, base, shows, leaf, disk))
  }
  return found
}

/** Each way in which the newest leaf was sent. */
function judgeChains(newest: DesiredGeneration, base: Base, best: Served, shown: readonly Served[]): Finding[] {
  const same = shown.filter(({ chain }) => chain[0] === best.chain[0])
  const distinct = new Map(same.map((served) => [served.chain.join(), served]))
  const found = new Map<string, Finding>()
  for (const { chain, certificates } of distinct.values()) {
    for (const { reason, what } of judgeChain(chain, newest.chain, readServed(certificates))) {
      const short = { expected: shortChain(newest.chain), served: shortChain(chain) }
      const repair = byService.includes(reason)
        ? `look what the service on ${base.server} sends beside the certificate; then: onecert apply ${base.certificate} --server ${base.server}`
        : base.repair
      found.set(reason, finding(reason, { ...base, ...short, what, repair }))
    }
  }
  return [...found.values()]
}

/** Connections that show something else than the best of them. */
function judgeOthers(
  desired: Desired,
  newest: DesiredGeneration,
  base: Base,
  best: Served,
  shown: readonly Served[],
): Finding[] {
  const others = shown.filter(({ chain }) => chain[0] !== best.chain[0])
  const [older, strangers] = [true, false].map((ours) =>
    others.filter(({ chain }) => desired.numbers.has(chain[0] ?? '') === ours),
  )
  const told = (which: readonly Served[]) => ({
    ...base,
    expected: generationText(newest.number, newest.chain[0]),
    served: [...new Set(which.map(({ chain }) => seenName(desired, chain[0] ?? '')))].join(', '),
    repair: `look which processes listen on ${base.server} (ss -ltnp), and end the one that should not; then: onecert audit`,
  })
  const count = (which: readonly Served[]) => `${which.length} of ${shown.length} connections show`
  const found: Finding[] = []
  if (older?.length && best.chain[0] === newest.chain[0]) {
    const what = `${count(older)} an older certificate, the others the newest: an old process still listens`
    found.push(finding('old-process', { ...told(older), what }))
  }
  if (strangers?.length && desired.numbers.has(best.chain[0] ?? '')) {
    const what = `${count(strangers)} a certificate that is none of this lineage: something else listens there too`
    found.push(finding('mixed-answers', { ...told(strangers), what }))
  }
  return found
}

/**
 * What every client judges, whoever issued it.
 * @param isNewest it is what should be served: another virtual host is not to blame
 */
function judgeContent(base: Base, { certificates, notAfterMs }: Served, nowMs: number, isNewest: boolean): Finding[] {
  const { site, certificate } = base
  const read = readServed(certificates)
  const [leaf] = read
  if (!leaf) return []
  const found: Finding[] = []
  const add = (reason: ContentReason, what: string, served: string, repair: string) =>
    found.push(finding(reason, { ...base, what, served, repair }))
  const [nameless] = site === null ? [] : nameDefects(leaf, [probedName(site)])
  if (nameless) {
    const repair = isNewest
      ? base.repair
      : `look which virtual host answers for ${site} there, and whether the certificate has the name; then: onecert audit`
    add('wrong-name', `serves a certificate without the name ${site}`, nameless.failure.fact ?? '', repair)
  }
  const [keys, signatures] = [weakKeys(read), weakSignatures(read)]
  const anew = `have it issued anew: onecert renew ${certificate} --force; or ask the CA for its present intermediate`
  // The leaf's own end is told with which generation it is.
  const [expired] = read.slice(1).filter((each) => !each.selfSigned && each.notAfterMs <= nowMs)
  if (expired && notAfterMs > nowMs) {
    const what = `sends an intermediate that expired at ${minute(expired.notAfterMs)}: clients that know no other refuse the chain`
    add('expired', what, nameOf(expired), anew)
  }
  const future = read.find((each) => !each.selfSigned && each.notBeforeMs > nowMs)
  if (future) {
    const what = `serves a certificate that is valid from ${minute(future.notBeforeMs)} only: until then clients refuse it`
    const repair = 'wait until then, or set the clock here right; then: onecert audit'
    // At a server whose clock is behind it is a warning: there clients see nothing of it.
    found.push(finding('not-yet-valid', { ...base, severity: 'critical', what, served: nameOf(future), repair }))
  }
  const again = `make a stronger one: onecert renew ${certificate} --rekey`
  if (keys.length > 0) add('weak-key', 'serves a certificate with a weak key', keys.join('; '), again)
  if (signatures.length > 0) {
    add('weak-signature', 'serves a certificate that is weakly signed', signatures.join('; '), anew)
  }
  return found
}

/** What is no matter of the certificate. */
function judgeRest(base: Base, { oldProtocol = null }: EndpointSeen, looks: readonly OneLook[]): Finding[] {
  const found: Finding[] = []
  if (oldProtocol !== null) {
    found.push(
      finding('weak-protocol', {
        ...base,
        what: `takes ${oldProtocol}`,
        expected: 'TLS 1.2 or newer',
        served: oldProtocol,
        repair: 'take TLS 1.0 and 1.1 out of the configuration of the service; then: onecert audit',
      }),
    )
  }
  const failed = looks.filter(({ served }) => served === null)
  if (failed.length > 0) {
    found.push(
      finding('unreachable', {
        ...base,
        what: `${failed.length} of ${looks.length} connections showed nothing: ${failed[0]?.reason}`,
        repair: 'look at the server; then: onecert audit',
      }),
    )
  }
  return found
}

type ContentReason = Extract<Reason, 'wrong-name' | 'expired' | 'weak-key' | 'weak-signature'>

interface Base extends Pick<Finding, 'certificate' | 'place' | 'repair'> {
  readonly server: string
  readonly site: string | null
}

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

function seenName({ numbers }: Desired, leaf: string): string {
  const number = numbers.get(leaf)
  return number === undefined ? `leaf ${leaf.slice(0, 8)}` : generationText(number, leaf)
}

function shortChain(chain: readonly string[]): string {
  return chain.map((each) => each.slice(0, 8)).join(' ')
}
