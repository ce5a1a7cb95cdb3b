import { dayMs } from '../base/clock.ts'
import { asOnecertError, OnecertError } from '../base/errors.ts'
import type { Endpoint } from '../observe/endpoint.ts'
import type { Observed } from '../observe/served.ts'
import { parseCertificate, type X509 } from '../pki/certificate.ts'
import { buildChain, findDisorder } from '../pki/chain.ts'
import { dateDefects, nameDefects, signatureDefects, useDefects } from '../pki/defects.ts'
import { weakKeys } from './strength.ts'

/** Served and good for the name; seen, and something is wrong; not seen, so that nobody can say. */
export type Verdict = 'ok' | 'wrong' | 'unseen'

/** What is known of an endpoint by a handshake alone, without a fleet file. */
export interface Probed {
  readonly address: string
  readonly port: number
  readonly name: string
  readonly verdict: Verdict
  /** All that is wrong, or why it could not be seen. */
  readonly problems: readonly OnecertError[]
  /** The server signed this very handshake with the key of the leaf. */
  readonly proof: boolean
  readonly leaf: LeafFacts | null
  readonly chain: ChainFacts | null
  /** What else the handshake showed; null: there was none. */
  readonly session: SessionFacts | null
  /** Seconds, 0: the server does not say; null: it gives no ticket; absent: nobody asked, or it could not be seen. */
  readonly ticketLifetimeSeconds?: number | null
}

type SessionFacts = Pick<
  Observed,
  'version' | 'cipher' | 'group' | 'alpn' | 'ocspStaple' | 'scts' | 'way' | 'wayReason'
>

interface LeafFacts {
  readonly subject: string
  readonly issuer: string
  readonly names: readonly string[]
  readonly addresses: readonly string[]
  readonly fingerprint: string
  readonly spki: string
  readonly keyType: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  /** Whole days; below 0 where it has expired. */
  readonly daysLeft: number
}

interface ChainFacts {
  /** As served, leaf first: SHA-256 of each, lower hex. */
  readonly fingerprints: readonly string[]
  readonly subjects: readonly string[]
  /** It leads from the leaf to a root, or to one that clients have, with the served bytes alone. */
  readonly complete: boolean
  /** One of the roots of Mozilla's list has signed it. */
  readonly publicRoot: boolean
}

/** What does not depend on the name asked for, nor on the time. */
interface Read {
  readonly certificates: readonly X509[]
  readonly chain: ChainFacts
  readonly problems: readonly OnecertError[]
}

const stronger = 'make a new key (ec-p256 is a good choice) and have the certificate reissued'
/** A million endpoints have a few chains among them; of more the oldest are forgotten. */
const chainsMax = 512

export type ProbeJudge = (endpoint: Endpoint, seen: Observed | OnecertError, nowMs: number) => Probed

/** Judges what was served by itself. Chains that were judged before are remembered: building one costs more than a handshake. */
export function makeProbeJudge(): ProbeJudge {
  const known = new Map<string, Read>()
  return ({ address, port, name }, seen, nowMs) => {
    const endpoint = { address, port, name }
    if (seen instanceof OnecertError) return { ...endpoint, verdict: 'unseen', problems: [seen], ...nothing }
    const { chain, certificates } = seen
    const session = sessionOf(seen)
    const key = chain.join()
    try {
      const read = known.get(key) ?? readChain(certificates)
      if (known.size >= chainsMax && !known.has(key)) known.delete(known.keys().next().value ?? '')
      known.set(key, read)
      return { ...endpoint, ...judge(read, name, nowMs), proof: true, session }
    } catch (error) {
      // What is served cannot be read: clients cannot read it either.
      return { ...endpoint, verdict: 'wrong', problems: [asOnecertError(error)], ...nothing, proof: true, session }
    }
  }
}

function sessionOf({ version, cipher, group, alpn, ocspStaple, scts, way, wayReason }: Observed): SessionFacts {
  return { version, cipher, group, alpn, ocspStaple, scts, way, wayReason }
}

const nothing = { proof: false, leaf: null, chain: null, session: null } as const

function judge({ certificates, chain, problems }: Read, name: string, nowMs: number) {
  const [leaf] = certificates
  if (!leaf) return { verdict: 'wrong', problems, ...nothing } as const
  const all = [
    ...nameDefects(leaf, [name]),
    // A root that is sent along is in nobody's way, also when it has expired.
    ...certificates.filter((each) => each === leaf || !each.selfSigned).flatMap((each) => dateDefects(each, nowMs)),
    ...problems,
  ]
  const { subject, issuer, names, addresses, fingerprint, spki, keyType, notBeforeMs, notAfterMs } = leaf
  const facts: LeafFacts = {
    ...{ subject, issuer, names, addresses, fingerprint, spki, keyType, notBeforeMs, notAfterMs },
    daysLeft: Math.floor((notAfterMs - nowMs) / dayMs),
  }
  return { verdict: all.length > 0 ? 'wrong' : 'ok', problems: all, leaf: facts, chain } as const
}

/** @throws OnecertError PEM_DAMAGED, KEY_UNSUPPORTED */
function readChain(served: readonly Uint8Array[]): Read {
  const certificates = served.map((der, at) => parseCertificate(der, { file: `served certificate ${at + 1}` }))
  const [leaf] = certificates
  if (!leaf) throw new Error('a handshake without a certificate')
  const problems: OnecertError[] = []
  let built: { readonly anchored: boolean } | null = null
  try {
    built = buildChain(leaf, certificates)
    const disorder = findDisorder(certificates)
    if (disorder) problems.push(disorder)
  } catch (error) {
    problems.push(asOnecertError(error))
  }
  // A self-signed certificate is its own CA.
  if (!leaf.selfSigned) problems.push(...useDefects(leaf), ...certificates.flatMap(signatureDefects))
  for (const fact of weakKeys(certificates))
    problems.push(
      new OnecertError('KEY_TOO_WEAK', { what: 'a key of what is served is too weak', fact, next: stronger }),
    )
  const chain: ChainFacts = {
    fingerprints: certificates.map(({ fingerprint }) => fingerprint),
    subjects: certificates.map(({ subject }) => subject),
    complete: built !== null,
    publicRoot: built?.anchored ?? false,
  }
  return { certificates, chain, problems }
}
