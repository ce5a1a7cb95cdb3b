import { contextTag, type Der, firstBits, isBits, isTrue, members, octets, oid, readDer, text } from './der.ts'

/**
 * What we read ourselves: node:crypto gives it as text, in which names can be forged (CVE-2021-44532), or by toLegacyObject(), which
 * crashes the whole program (Node 24.21) for a key on a curve that NIST has no name for, such as secp256k1.
 */
export interface Extensions {
  readonly subjectCommonName?: string
  readonly issuerCommonName?: string
  /** dNSName, lower case. */
  readonly names: readonly string[]
  /** iPAddress, canonical text. */
  readonly addresses: readonly string[]
  readonly isCa: boolean
  /** OIDs; absent means any usage (RFC 5280 section 4.2.1.12). */
  readonly usages?: readonly string[]
  /** digitalSignature; true where there is no KeyUsage extension. */
  readonly maySign: boolean
  readonly aiaIssuerUrl?: string
  /** Dotted OID of the hash of an RSASSA-PSS signature. */
  readonly pssHash?: string
}

const sanTag = { dns: 2, uri: 6, ip: 7 }

/** RFC 5280 sections 4.1 and 4.2. Throws DerError where the structure is not a certificate's. */
export function readExtensions(certificate: Uint8Array): Extensions {
  const [body, algorithm] = members(readDer(certificate))
  const extensions = new Map(
    members(body)
      .filter((element) => contextTag(element) === 3)
      .flatMap((element) => members(members(element)[0]))
      .map((extension) => {
        const parts = members(extension)
        return [oid(parts[0]), readDer(octets(parts[parts.length - 1]))] as const
      }),
  )
  // Before them: [0] version where it is not 1, serial number, signature algorithm.
  const first = contextTag(members(body)[0]) === 0 ? 3 : 2
  const issuerCommonName = commonName(members(body)[first])
  const subjectCommonName = commonName(members(body)[first + 2])
  const alternatives = list(extensions.get('2.5.29.17'))
  const usages = extensions.get('2.5.29.37')
  const keyUsage = extensions.get('2.5.29.15')
  const issuerUrl = caIssuers(extensions.get('1.3.6.1.5.5.7.1.1'))
  const hash = pssHash(algorithm)
  return {
    ...(subjectCommonName === undefined ? {} : { subjectCommonName }),
    ...(issuerCommonName === undefined ? {} : { issuerCommonName }),
    names: tagged(alternatives, sanTag.dns).map((name) => latin(name).toLowerCase()),
    addresses: tagged(alternatives, sanTag.ip).flatMap(addressText),
    isCa: isTrue(list(extensions.get('2.5.29.19'))[0]),
    maySign: !isBits(keyUsage) || (firstBits(keyUsage) & 0x80) !== 0,
    ...(usages ? { usages: members(usages).map(oid) } : {}),
    ...(issuerUrl ? { aiaIssuerUrl: issuerUrl } : {}),
    ...(hash ? { pssHash: hash } : {}),
  }
}

/** The most specific one, which stands last. */
function commonName(name: Der | undefined): string | undefined {
  return members(name)
    .flatMap(members)
    .map(members)
    .filter(([type]) => oid(type) === '2.5.4.3')
    .map(([, value]) => text(value))
    .at(-1)
}

function list(element: Der | undefined): readonly Der[] {
  return element ? members(element) : []
}

function tagged(elements: readonly Der[], tag: number): Uint8Array[] {
  return elements.filter((element) => contextTag(element) === tag).map(octets)
}

function latin(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

function addressText(bytes: Uint8Array): string[] {
  if (bytes.length === 4) return [bytes.join('.')]
  if (bytes.length !== 16) return []
  const groups = Array.from({ length: 8 }, (_, at) =>
    (((bytes[2 * at] ?? 0) << 8) | (bytes[2 * at + 1] ?? 0)).toString(16),
  )
  return [new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)]
}

/** First http(s) URL of id-ad-caIssuers (RFC 5280 section 4.2.2.1). */
function caIssuers(element: Der | undefined): string | undefined {
  for (const description of list(element)) {
    const [method, location] = members(description)
    if (oid(method) !== '1.3.6.1.5.5.7.48.2' || contextTag(location) !== sanTag.uri) continue
    const url = latin(octets(location))
    if (/^https?:\/\//i.test(url)) return url
  }
  return undefined
}

/** RFC 4055 section 3.1: SHA-1 where hashAlgorithm is absent. */
function pssHash(algorithm: Der | undefined): string | undefined {
  const [name, parameters] = members(algorithm)
  if (oid(name) !== '1.2.840.113549.1.1.10') return undefined
  const hash = list(parameters).find((element) => contextTag(element) === 0)
  return hash ? oid(members(members(hash)[0])[0]) : '1.3.14.3.2.26'
}
