import { rootCertificates } from 'node:tls'
import { fail, OnecertError, quote } from '../base/errors.ts'
import { issued, parseCertificates, type X509 } from './certificate.ts'

/** Signature checks for one chain. A pool of look-alikes must not cost minutes. */
const signatureChecksMax = 2000
/** Longer chains exist nowhere; OpenSSL's own limit is 100. */
const chainLengthMax = 10

export interface Chain {
  /** Leaf first, each signed by the next; the root is not sent. */
  readonly chain: readonly X509[]
  /** The self-signed certificate at the end, where the pool or the anchors have it. */
  readonly root?: X509
  /** Of the pool, in its order: what the chain has no place for. */
  readonly unused: readonly X509[]
  /** An anchor has signed one of the chain. Without it the chain is complete by its form only. */
  readonly anchored: boolean
}

let publicRoots: readonly X509[] | undefined

/** The roots that this Node was built with (Mozilla's list): a constant, no I/O. */
export function defaultAnchors(): readonly X509[] {
  publicRoots ??= rootCertificates.flatMap((pem) => parseCertificates(Buffer.from(pem), { file: 'a built-in root' }))
  return publicRoots
}

/**
 * The chain of `leaf` from the certificates in `pool` (any order, with or without the leaf and the root), by verifying signatures.
 * `anchors`: the roots that clients know; without them the public roots, and then an unknown root is taken for a private one if
 * at least one intermediate is there. Complete does not mean trusted: see `anchored`.
 * Fails with CHAIN_BROKEN where the pool has only strangers, else with CHAIN_INCOMPLETE.
 */
export function buildChain(leaf: X509, pool: readonly X509[], anchors?: readonly X509[]): Chain {
  const others = unique(pool).filter(({ fingerprint }) => fingerprint !== leaf.fingerprint)
  const known = anchors ?? defaultAnchors()
  const path = leaf.selfSigned ? [leaf] : longestPath(leaf, others)
  const end = path.at(-1) ?? leaf
  const chain = end.selfSigned && path.length > 1 ? path.slice(0, -1) : path
  const last = chain.at(-1) ?? leaf
  const anchor = known.find((each) =>
    path.some((link) => sameAuthority(each, link) || (link.issuer === each.subject && issued(each, link))),
  )
  const root = end === leaf || !end.selfSigned ? anchor : end
  const unused = others.filter((each) => !path.includes(each))
  const byForm = end.selfSigned || (anchors === undefined && chain.length > 1)
  if (!anchor && !byForm) refuse(last, chain.length, [leaf, ...others], unused)
  return { chain, ...(root && root !== leaf ? { root } : {}), unused, anchored: anchor !== undefined }
}

/** The longest way up, the pool's order preferred: what the CA sent along for old clients is kept. */
function longestPath(leaf: X509, pool: readonly X509[]): X509[] {
  let checksLeft = signatureChecksMax
  const signed = (issuer: X509, subject: X509) =>
    issuer.subject === subject.issuer &&
    // Roots of version 1 have no extension to say so.
    (issuer.isCa || issuer.selfSigned) &&
    checksLeft-- > 0 &&
    issued(issuer, subject)
  const climb = (path: readonly X509[]): readonly X509[] => {
    const last = path.at(-1)
    if (!last || last.selfSigned || path.length >= chainLengthMax) return path
    return pool
      .filter((each) => !path.includes(each) && signed(each, last))
      .map((each) => climb([...path, each]))
      .reduce((best, each) => (better(each, best) ? each : best), path)
  }
  return [...climb([leaf])]
}

/** Cross-signed certificates of one authority have its name and key. */
function sameAuthority(one: X509, other: X509): boolean {
  return one.spki === other.spki && one.subject === other.subject
}

function better(path: readonly X509[], than: readonly X509[]): boolean {
  const ends = (each: readonly X509[]) => each.at(-1)?.selfSigned === true
  return ends(path) === ends(than) ? path.length > than.length : ends(path)
}

function unique(certificates: readonly X509[]): X509[] {
  return [...new Map(certificates.map((each) => [each.fingerprint, each])).values()]
}

function refuse(last: X509, position: number, given: readonly X509[], unused: readonly X509[]): never {
  const stranger =
    unused.find((each) => each.subject === last.issuer) ?? unused.find((each) => !each.selfSigned) ?? unused[0]
  const hint = last.aiaIssuerUrl
    ? `the certificate says where it is: ${quote(last.aiaIssuerUrl, 200)}`
    : 'ask the CA for it'
  if (stranger) {
    const sameName = stranger.subject === last.issuer
    fail('CHAIN_BROKEN', {
      what: `the chain is broken after certificate ${position} ${nameOf(last)}`,
      fact: sameName
        ? `certificate ${given.indexOf(stranger) + 1} ${nameOf(stranger)} has the issuer's name, but did not sign certificate ${position}: its key is another`
        : `certificate ${given.indexOf(stranger) + 1} ${nameOf(stranger)} did not sign certificate ${position} (issuer "${issuerOf(last)}")`,
      next: `put the intermediate "${issuerOf(last)}" in its place; ${hint}`,
    })
  }
  fail('CHAIN_INCOMPLETE', {
    what: `the chain ends at certificate ${position} ${nameOf(last)}`,
    fact: `issuer "${issuerOf(last)}" is missing; clients will fail`,
    next: `append the intermediate "${issuerOf(last)}" to the certificate file; ${hint}`,
  })
}

/**
 * The leaf must be first, and each certificate be signed by the next one.
 * Returns null, or CHAIN_ORDER that says which one stands wrong. `leaf` is the one that belongs to the key, if that is known.
 */
export function findDisorder(certificates: readonly X509[], leaf?: X509): OnecertError | null {
  const [first] = certificates
  const expected = leaf ?? (first?.isCa ? certificates.find(({ isCa }) => !isCa) : first)
  if (!first || !expected) return null
  const next = 'put the leaf first, then each certificate before the one that signed it'
  const position = certificates.indexOf(expected) + 1
  if (position > 1) {
    return new OnecertError('CHAIN_ORDER', {
      what: 'the certificates are in the wrong order',
      fact: `first certificate is ${first.isCa ? 'the intermediate' : 'another certificate,'} ${nameOf(first)}; leaf is number ${position}, ${nameOf(expected)}`,
      next,
    })
  }
  for (const [index, lower] of certificates.entries()) {
    const upper = certificates[index + 1]
    if (!upper || issued(upper, lower)) continue
    const issuer = certificates.findIndex(
      (each) => each !== lower && each.subject === lower.issuer && issued(each, lower),
    )
    if (issuer === -1) continue
    return new OnecertError('CHAIN_ORDER', {
      what: 'the certificates are in the wrong order',
      fact: `certificate ${index + 1} ${nameOf(lower)} was signed by number ${issuer + 1}, but number ${index + 2} ${nameOf(upper)} follows`,
      next,
    })
  }
  return null
}

/** As {@link findDisorder}, but throws CHAIN_ORDER. */
export function checkChainOrder(certificates: readonly X509[]): void {
  const disorder = findDisorder(certificates)
  if (disorder) throw disorder
}

/** A certificate for a person: its common name, else its first name, else its subject; quoted. */
export function nameOf(certificate: X509): string {
  const { subjectCommonName, names, subject } = certificate
  return `"${quote(subjectCommonName ?? names[0] ?? subject)}"`
}

function issuerOf({ issuerCommonName, issuer }: X509): string {
  return quote(issuerCommonName ?? issuer)
}
