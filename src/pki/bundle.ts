import { type KeyObject, sign, verify } from 'node:crypto'
import { OnecertError, quote } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'
import { nativeOf, type X509 } from './certificate.ts'
import { buildChain, type Chain, findDisorder, nameOf } from './chain.ts'
import { dateDefects, nameDefects, signatureDefects, useDefects } from './defects.ts'
import { assessKey, keyTypeOf, privateKeyPem, spkiOf } from './key.ts'
import { short } from './text.ts'

/** What a server needs: a key pair and its chain. */
export interface Bundle {
  readonly leaf: X509
  /** Leaf first, sending order, no root. */
  readonly chain: readonly X509[]
  readonly key: Secret<KeyObject>
  readonly spki: string
}

export interface Assessment {
  /** Only where there is no error. */
  readonly bundle?: Bundle
  /** All defects at once, the most telling first. */
  readonly errors: OnecertError[]
  readonly warnings: OnecertError[]
}

export interface BundleOptions {
  /** Host names (A-labels; a wildcard is covered only by the same wildcard) and IP addresses that the leaf must cover. */
  readonly names: readonly string[]
  readonly nowMs: number
  /** The roots that clients know; absent: the public ones, or any private one that the chain leads to. */
  readonly anchors?: readonly X509[]
  /** A wrong order becomes a warning, and is put right. */
  readonly fixOrder?: boolean
  /** For messages: where certificates and key came from. */
  readonly files?: { readonly certificate?: string; readonly key?: string }
}

/** Judges nothing: for parts that were made or assessed by us. */
export function makeBundle(parts: Pick<Bundle, 'leaf' | 'chain' | 'key'>): Bundle {
  const { leaf, chain, key } = parts
  return { leaf, chain, key, spki: leaf.spki }
}

/** Everything that would make clients fail, or weak, before any server sees it. Throws nothing of its own. */
export function assessBundle(
  { certificates, key }: { readonly certificates: readonly X509[]; readonly key: Secret<KeyObject> },
  options: BundleOptions,
): Assessment {
  const leaf = leafOf(certificates, key)
  if (!leaf) {
    const fact = 'at least the leaf is needed'
    return { errors: [new OnecertError('PEM_EMPTY', { what: 'no certificate was given', fact })], warnings: [] }
  }
  const { chain, problems } = assessChain(leaf, certificates, options)
  const disorder = findDisorder(certificates, leaf)
  const misplaced = disorder && leaf !== certificates[0] && !options.fixOrder
  const unsupported = assessKey(nativeOf(leaf).publicKey, `the key of ${nameOf(leaf)}`)
  const all = [
    ...assessPair(leaf, key, certificates, options),
    ...(misplaced ? [disorder] : []),
    ...problems.errors,
    ...useDefects(leaf),
    ...[leaf, ...(chain?.chain.slice(1) ?? [])].flatMap((each) => dateDefects(each, options.nowMs)),
    ...nameDefects(leaf, options.names),
    ...(chain?.chain ?? [leaf]).flatMap(signatureDefects),
    ...unsupported,
  ]
  const errors = all.filter((each) => !isForBrowsersOnly(each, leaf))
  const warnings = [
    ...(disorder && !misplaced ? [disorder] : []),
    ...problems.warnings,
    ...all.filter((each) => isForBrowsersOnly(each, leaf)),
  ]
  if (errors.length > 0 || !chain) return { errors, warnings }
  return { bundle: makeBundle({ leaf, chain: chain.chain, key }), errors, warnings }
}

/** A CA did sign it, and servers do serve it: whether its clients take it is for the owner to know. */
function isForBrowsersOnly(error: OnecertError, leaf: X509): boolean {
  return error.code === 'KEY_UNSUPPORTED_BY_CA' && /^ed|^ec-p521$|^rsa-\d+$/.test(leaf.keyType)
}

/** The one that belongs to the key, but never a CA's where another stands first; else the first that is no CA's. */
function leafOf(certificates: readonly X509[], key: Secret<KeyObject>): X509 | undefined {
  const spki = spkiOf(key)
  const [first] = certificates
  if (first?.spki === spki) return first
  return (
    certificates.find((each) => each.spki === spki && !each.isCa) ?? certificates.find(({ isCa }) => !isCa) ?? first
  )
}

function assessPair(
  leaf: X509,
  key: Secret<KeyObject>,
  all: readonly X509[],
  { files }: BundleOptions,
): OnecertError[] {
  const spki = spkiOf(key)
  const certificate = files?.certificate ? ` in ${quote(files.certificate)}` : ''
  const keyName = files?.key ? `the key in ${quote(files.key)}` : 'the key'
  if (spki !== leaf.spki) {
    const owner = all.find((each) => each.spki === spki)
    const elsewhere = owner
      ? `; it is the key of the CA certificate ${nameOf(owner)}, which must not be on any server`
      : ''
    return [
      new OnecertError('PEM_KEY_MISMATCH', {
        what: `${keyName} does not belong to the certificate ${nameOf(leaf)}${certificate}`,
        fact: `key has SPKI ${short(spki)} (${keyTypeOf(key)}), certificate has SPKI ${short(leaf.spki)} (${leaf.keyType})${elsewhere}`,
        next: 'give the key that the certificate was requested with, or have the certificate reissued for this key',
      }),
    ]
  }
  if (signs(key, leaf)) return []
  return [
    new OnecertError('PEM_DAMAGED', {
      what: `${keyName} is damaged`,
      fact: `it names the public key of ${nameOf(leaf)}, but its signatures do not verify with it`,
      next: 'restore the key from where it was made',
    }),
  ]
}

/** A key file can name one public key and hold the numbers of another; OpenSSL loads it. */
function signs(key: Secret<KeyObject>, leaf: X509): boolean {
  try {
    const digest = leaf.keyType.startsWith('ed') ? null : 'sha256'
    const proof = Buffer.from('onecert pair check')
    return verify(digest, proof, nativeOf(leaf).publicKey, sign(digest, proof, key.reveal()))
  } catch {
    return false
  }
}

function assessChain(leaf: X509, certificates: readonly X509[], { anchors }: BundleOptions) {
  const problems: { errors: OnecertError[]; warnings: OnecertError[] } = { errors: [], warnings: [] }
  let chain: Chain | undefined
  try {
    chain = buildChain(leaf, certificates, anchors)
  } catch (thrown) {
    if (!(thrown instanceof OnecertError)) throw thrown
    problems.errors.push(thrown)
    return { chain, problems }
  }
  const { root, unused, anchored } = chain
  if (root && certificates.some(({ fingerprint }) => fingerprint === root.fingerprint)) {
    const fact = 'clients have it already, and it makes every handshake longer: it is left out'
    problems.warnings.push(
      new OnecertError('CHAIN_HAS_ROOT', { what: `the root ${nameOf(root)} is in the file`, fact }),
    )
  }
  for (const each of unused) {
    const what = `certificate ${certificates.indexOf(each) + 1} ${nameOf(each)} has no place in the chain`
    problems.warnings.push(
      new OnecertError('CHAIN_BROKEN', { what, fact: 'it signed none of the others: it is left out' }),
    )
  }
  if (!anchored) {
    const what = leaf.selfSigned
      ? `${nameOf(leaf)} is self-signed`
      : `the chain of ${nameOf(leaf)} ends at a root that is not public`
    const fact = 'only clients that were given its root accept it'
    problems.warnings.push(
      new OnecertError('CHAIN_INCOMPLETE', {
        what,
        fact,
        next: 'right for a private CA; else ask the CA for the whole chain',
      }),
    )
  }
  return { chain, problems }
}

/** Leaf and intermediates, sending order. */
export function fullchainPem(bundle: Pick<Bundle, 'chain'>): string {
  return bundle.chain.map(({ pem }) => pem).join('')
}

/** Leaf, intermediates, key: one file, as HAProxy reads it. */
export function combinedPem(bundle: Pick<Bundle, 'chain' | 'key'>): Secret<string> {
  return new Secret(`${fullchainPem(bundle)}${privateKeyPem(bundle.key).reveal()}`)
}
