import { issued, parseCertificate, type X509 } from '../pki/certificate.ts'
import { buildChain, nameOf } from '../pki/chain.ts'
import type { Reason } from './finding.ts'

export type ChainReason = Extract<
  Reason,
  'incomplete-chain' | 'other-chain' | 'chain-order' | 'chain-foreign' | 'chain-with-root'
>

/** What was sent beside, instead of or in another order than what was issued. */
export interface ChainDefect {
  readonly reason: ChainReason
  readonly what: string
}

/** What is served, read; a certificate that cannot be read is left out, as clients do. */
export function readServed(certificates: readonly Uint8Array[]): X509[] {
  return certificates.flatMap((der, at) => {
    try {
      return [parseCertificate(der, { file: `served certificate ${at + 1}` })]
    } catch {
      return []
    }
  })
}

/**
 * The chain as it was sent, against the one that was issued; the leaf is the right one. RFC 8446 section 4.4.2: each
 * certificate should certify the one before it, and the root may be left out. Pure.
 * @param sent SHA-256 of each, as `wanted`
 * @param certificates what was sent, read
 */
export function judgeChain(
  sent: readonly string[],
  wanted: readonly string[],
  certificates: readonly X509[],
): ChainDefect[] {
  const defects: ChainDefect[] = []
  const add = (reason: ChainReason, what: string) => defects.push({ reason, what })
  const missing = wanted.filter((each) => !sent.includes(each))
  const links = certificates.filter(({ fingerprint }) => wanted.includes(fingerprint))
  const kin = kinOf(links, certificates)
  const others = kin.filter(({ selfSigned }) => !selfSigned)
  const roots = kin.filter(({ selfSigned }) => selfSigned)
  if (missing.length > 0 && !leadsOn(certificates, others)) {
    const there = wanted.length - missing.length
    add(
      'incomplete-chain',
      `serves ${there} of ${wanted.length} certificates: clients without the intermediate refuse it`,
    )
  } else if (others.length > 0) {
    add('other-chain', `serves other intermediates: ${others.map(nameOf).join(', ')}`)
  }
  const there = wanted.filter((each) => sent.includes(each))
  const asSent = sent.filter((each) => wanted.includes(each))
  if (there.some((each, at) => each !== asSent[at])) {
    add('chain-order', 'serves the right certificates in the wrong order: strict clients refuse that')
  }
  const foreign = sent.filter((each) => !wanted.includes(each) && !kin.some(({ fingerprint }) => fingerprint === each))
  if (foreign.length > 0) {
    const names = foreign.map((each) => nameIn(certificates, each)).join(', ')
    add('chain-foreign', `sends along what belongs to no chain of its certificate: ${names}`)
  }
  if (roots.length > 0)
    add('chain-with-root', `sends a root along, of no use to anybody: ${roots.map(nameOf).join(', ')}`)
  return defects
}

/** What has signed one of the links, or one of those that did: cross-signed intermediates, and roots. */
function kinOf(links: readonly X509[], certificates: readonly X509[]): X509[] {
  const kin: X509[] = []
  // Each round finds at least one more, else it is the last one.
  for (let round = 0; round < certificates.length; round++) {
    const found = certificates.filter(
      (each) => !links.includes(each) && !kin.includes(each) && [...links, ...kin].some((lower) => issued(each, lower)),
    )
    if (found.length === 0) break
    kin.push(...found)
  }
  return kin
}

/** Whether what was sent leads from the leaf to where a chain ends, through one of the others. */
function leadsOn(certificates: readonly X509[], others: readonly X509[]): boolean {
  const [leaf] = certificates
  if (!leaf || others.length === 0) return false
  try {
    const { chain } = buildChain(leaf, certificates)
    return others.some((each) => chain.includes(each))
  } catch {
    return false
  }
}

function nameIn(certificates: readonly X509[], fingerprint: string): string {
  const found = certificates.find((each) => each.fingerprint === fingerprint)
  return found ? nameOf(found) : fingerprint.slice(0, 8)
}
