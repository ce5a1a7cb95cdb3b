import { createHash } from 'node:crypto'
import type { TlsaRecord, TlsaSight } from '../observe/tlsa.ts'
import { nativeOf, type X509 } from '../pki/certificate.ts'
import { buildChain } from '../pki/chain.ts'
import { readServed } from './chain.ts'
import { type Finding, finding } from './finding.ts'
import type { EndpointSeen } from './served.ts'

/** RFC 6698 section 2.1.1. */
const trustAnchorUsages = [0, 2]
const leafUsages = [1, 3]
const hashes: Readonly<Record<number, string>> = { 1: 'sha256', 2: 'sha512' }

/**
 * Whether what endpoints serve is what TLSA records promise, at each name server that has some (RFC 6698, RFC 7671). Pure.
 * @param owner the name of the records
 * @param anchors the roots that clients know; absent: the public ones
 */
export function judgeTlsa(
  certificate: string,
  owner: string,
  sights: readonly TlsaSight[],
  seen: readonly EndpointSeen[],
  anchors?: readonly X509[],
): Finding[] {
  return seen.flatMap(({ server, endpoint, served }) => {
    const sent = readServed(served?.certificates ?? [])
    const [leaf] = sent
    if (!leaf) return []
    const root = rootOf(leaf, sent, anchors)
    const wrong = sights.filter(({ failure, records }) => {
      const usable = records.filter(isUsable)
      return failure === null && usable.length > 0 && !usable.some((record) => matches(record, sent, root))
    })
    if (wrong.length === 0) return []
    const right = `3 1 1 ${leaf.spki}`
    return [
      finding('tlsa-mismatch', {
        certificate,
        server,
        site: endpoint.name,
        place: owner,
        what: 'no TLSA record matches what is served: clients that go by DANE, such as mail servers, refuse it',
        expected: wrong.map((each) => `${recordsText(each.records)} at ${each.server}`).join('; '),
        served: shortRecord(`3 1 1 ${leaf.spki}`),
        repair: `publish, and take the old record away when its TTL is over: ${owner}. TLSA ${right}`,
      }),
    ]
  })
}

/** Of others a client makes nothing (RFC 6698 section 4.1). */
function isUsable({ usage, selector, matching }: TlsaRecord): boolean {
  return usage <= 3 && selector <= 1 && matching <= 2
}

function matches({ usage, selector, matching, data }: TlsaRecord, sent: readonly X509[], root: X509 | null): boolean {
  const [leaf, ...above] = sent
  // RFC 7671 section 5.2.2: a DANE trust anchor has to be sent; the anchor of PKIX-TA clients have themselves.
  const anchors = usage === 0 && root ? [...above, root] : above
  const candidates = leafUsages.includes(usage) && leaf ? [leaf] : trustAnchorUsages.includes(usage) ? anchors : []
  return candidates.some((each) => {
    const bytes = selector === 0 ? each.der : nativeOf(each).publicKey.export({ type: 'spki', format: 'der' })
    const hash = hashes[matching]
    return data === (hash ? createHash(hash).update(bytes).digest('hex') : Buffer.from(bytes).toString('hex'))
  })
}

function rootOf(leaf: X509, sent: readonly X509[], anchors: readonly X509[] | undefined): X509 | null {
  try {
    return buildChain(leaf, sent, anchors).root ?? null
  } catch {
    return null
  }
}

function recordsText(records: readonly TlsaRecord[]): string {
  return records
    .map(({ usage, selector, matching, data }) => shortRecord(`${usage} ${selector} ${matching} ${data}`))
    .join(', ')
}

function shortRecord(text: string): string {
  return text
    .split(' ')
    .map((word) => word.slice(0, 8))
    .join(' ')
}
