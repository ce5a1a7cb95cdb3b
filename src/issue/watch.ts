import { createPrivateKey, type KeyObject } from 'node:crypto'
import { OnecertError, retold, withOthers } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'
import type { WatchIssuer } from '../fleet/fleet.ts'
import { type Assessment, assessBundle, type Bundle } from '../pki/bundle.ts'
import type { X509 } from '../pki/certificate.ts'
import { nameOf } from '../pki/chain.ts'
import { nameDefects } from '../pki/defects.ts'
import { privateKeyPem, spkiOf } from '../pki/key.ts'
import { instant, listed, short } from '../pki/text.ts'
import { type DirectoryContents, readDirectory } from './directory.ts'
import type { Issuer, KeyKeeper, Order } from './issuer.ts'

/**
 * What another client keeps in a directory: certbot, acme.sh, lego, Caddy, dehydrated, a person. The newest leaf that covers the
 * names and whose key is known is taken, when it is newer than the newest generation. While there is one, a renewal that is
 * not complete is waited for.
 */
export function watch({ directory }: WatchIssuer, keys: KeyKeeper): Issuer {
  return {
    async issue(order) {
      const contents = await readDirectory(directory)
      const { bundle, problem } = await choose(contents, directory, order, keys)
      if (bundle) await keys.put(order.lineage, privateKeyPem(bundle.key), bundle.spki)
      if (problem && !bundle && (order.newest === null || problem.code === 'INPUT_UNREADABLE')) throw problem
      if (problem) order.onWait?.(oneLine(problem))
      return bundle
    },
  }
}

interface Choice {
  readonly bundle: Bundle | null
  /** What is not right with something newer. */
  readonly problem: OnecertError | null
}

async function choose(contents: DirectoryContents, directory: string, order: Order, keys: KeyKeeper): Promise<Choice> {
  const leaves = leavesOf(contents)
  const fitting = leaves.filter((leaf) => nameDefects(leaf, order.names).length === 0)
  if (fitting.length === 0) return { bundle: null, problem: nothingFits(contents, leaves, directory, order) }
  let problem: OnecertError | null = null
  for (const leaf of fitting.toSorted(newestFirst(order))) {
    if (leaf.fingerprint === order.newest) return { bundle: null, problem: problem ?? halfWritten(contents, leaf) }
    if (isOlder(leaf, order)) break
    const key = await keyOf(leaf, contents, order, keys)
    if (key === null) {
      problem ??= keyMissing(leaf, contents, directory, order)
      continue
    }
    const { bundle, errors } = assess(leaf, key, contents, order)
    if (bundle) return { bundle, problem }
    problem ??= refusal(errors)
  }
  return { bundle: null, problem }
}

function leavesOf({ files }: DirectoryContents): X509[] {
  const all = files.flatMap(({ certificates }) => certificates).filter(({ isCa }) => !isCa)
  return [...new Map(all.map((each) => [each.fingerprint, each])).values()]
}

/** Of two that began at the same time, the one that is the newest generation already. */
function newestFirst({ newest }: Order): (left: X509, right: X509) => number {
  const known = ({ fingerprint }: X509) => (fingerprint === newest ? 1 : 0)
  return (left, right) =>
    right.notBeforeMs - left.notBeforeMs || known(right) - known(left) || right.notAfterMs - left.notAfterMs
}

/** Where the newest generation has not begun yet, a clock was wrong, and its dates are no measure. */
function isOlder(leaf: X509, { newestFromMs, nowMs }: Order): boolean {
  return newestFromMs !== null && newestFromMs <= nowMs && leaf.notBeforeMs < newestFromMs
}

/** From the directory, else the one that the vault holds: a renewal that keeps its key may come without it. */
async function keyOf(
  leaf: X509,
  { files }: DirectoryContents,
  order: Order,
  keys: KeyKeeper,
): Promise<Secret<KeyObject> | null> {
  const there = files.find(({ key }) => key && spkiOf(key) === leaf.spki)?.key
  if (there) return there
  if (!(await keys.has(order.lineage, leaf.spki))) return null
  const pem = await keys.get(order.lineage, leaf.spki)
  return new Secret(createPrivateKey(pem.reveal()))
}

/** The intermediates that the client put into one file with the leaf come first: others there may be those of older ones. */
function assess(leaf: X509, key: Secret<KeyObject>, { files }: DirectoryContents, order: Order): Assessment {
  const withLeaf = files.filter(({ certificates }) =>
    certificates.some((each) => each.fingerprint === leaf.fingerprint),
  )
  const pools = [withLeaf, files].map((some) => some.flatMap(({ certificates }) => certificates))
  const assessments = pools.map((pool) => {
    const others = pool.filter(({ isCa, fingerprint }) => isCa && fingerprint !== leaf.fingerprint)
    const options = { names: order.names, nowMs: order.nowMs, fixOrder: true }
    return assessBundle({ certificates: [leaf, ...others], key }, options)
  })
  return assessments.find(({ bundle }) => bundle) ?? assessments.at(-1) ?? { errors: [], warnings: [] }
}

function refusal([first, ...also]: readonly OnecertError[]): OnecertError {
  if (!first) return new OnecertError('INTERNAL', { what: 'an assessment without result' })
  return retold(withOthers(first, also), { state: 'nothing was stored and no server was touched' })
}

const halfWrittenCodes: readonly string[] = ['PEM_DAMAGED', 'PEM_BAD_BASE64', 'PEM_EMPTY']

/** Signs of a renewal that has begun, beside the certificate that is the newest generation. */
function halfWritten({ files, faults }: DirectoryContents, newest: X509): OnecertError | null {
  const fault = faults.find(({ code }) => halfWrittenCodes.includes(code))
  if (fault) return fault
  const owned = new Set(files.flatMap(({ certificates }) => certificates.map(({ spki }) => spki)))
  const keyFiles = files.flatMap(({ key, path }) => (key ? [{ path, spki: spkiOf(key) }] : []))
  if (keyFiles.some(({ spki }) => spki === newest.spki)) return null
  const early = keyFiles.find(({ spki }) => !owned.has(spki))
  return early
    ? new OnecertError('WATCH_INCOMPLETE', { what: `the certificate for the key in ${early.path} is not there yet` })
    : null
}

function keyMissing(leaf: X509, contents: DirectoryContents, directory: string, order: Order): OnecertError {
  const unreadable = contents.faults.find(({ code }) => code === 'INPUT_UNREADABLE')
  if (unreadable) return unreadable
  const there = contents.files.flatMap(({ key }) => (key ? [short(spkiOf(key))] : []))
  return new OnecertError('WATCH_INCOMPLETE', {
    what: `the private key of the certificate ${nameOf(leaf)} from ${instant(leaf.notBeforeMs)} is not in ${directory}`,
    fact: [
      `it has SPKI ${short(leaf.spki)}; keys there: ${listed(there)}; the vault has none with it`,
      ...contents.faults.map(oneLine).slice(0, faultsShownMax),
    ].join('\n'),
    state: 'nothing was stored and no server was touched',
    next: `when the client has written it: onecert apply ${order.lineage}`,
  })
}

const faultsShownMax = 3

function nothingFits(
  { faults }: DirectoryContents,
  leaves: readonly X509[],
  directory: string,
  order: Order,
): OnecertError {
  const unreadable = faults.find(({ code }) => code === 'INPUT_UNREADABLE')
  if (unreadable) return unreadable
  const shown = faults.map(oneLine).slice(0, faultsShownMax)
  if (leaves.length === 0) {
    return new OnecertError('WATCH_NOTHING_FOUND', {
      what: `no certificate is in ${directory}`,
      ...(shown.length > 0 && { fact: shown.join('\n') }),
      state: 'nothing was stored and no server was touched',
      next: 'let the client write it there, or correct the directory in the fleet file',
    })
  }
  const lacking = (leaf: X509) => order.names.filter((name) => nameDefects(leaf, [name]).length > 0).length
  const [nearest] = leaves.toSorted((left, right) => lacking(left) - lacking(right))
  return refusal(nearest ? nameDefects(nearest, order.names) : [])
}

function oneLine({ failure: { what, fact } }: OnecertError): string {
  return fact ? `${what}: ${fact.split('\n')[0]}` : what
}
