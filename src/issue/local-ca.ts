import 'reflect-metadata'
import { createHash, createPublicKey, type KeyObject, randomBytes, webcrypto } from 'node:crypto'
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '@peculiar/x509'
import { dayMs, hourMs } from '../base/clock.ts'
import { fail } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'
import type { LocalCaIssuer } from '../fleet/fleet.ts'
import { type Bundle, makeBundle } from '../pki/bundle.ts'
import { issued, parseCertificate, type X509 } from '../pki/certificate.ts'
import { generatePrivateKey, parsePrivateKey, privateKeyPem } from '../pki/key.ts'
import { parsePem } from '../pki/pem.ts'
import type { Issuer, KeyKeeper, Order } from './issuer.ts'
import { leafKey } from './leaf-key.ts'

cryptoProvider.set(webcrypto)

const rootLifetimeMs = 3650 * dayMs
const intermediateLifetimeMs = 1825 * dayMs
/** Servers whose clock is a little behind accept the certificate at once. */
const backdateMs = hourMs
/** ub-common-name of RFC 5280, appendix A.1. */
const commonNameCharactersMax = 64

interface Authority {
  /** What it is called on its shelf. */
  readonly place: string
  readonly certificate: X509
  readonly key: Secret<KeyObject>
}

/** A CA of our own, root and intermediate, in the vault: for labs and internal names. Clients have to trust its root. */
export function localCa(spec: LocalCaIssuer, keys: KeyKeeper): Issuer {
  return {
    async issue(order: Order): Promise<Bundle> {
      const root = await authority(spec, keys, 'root', order.nowMs)
      const intermediate = await authority(spec, keys, 'intermediate', order.nowMs, root)
      const key = await leafKey(order, keys)
      const leaf = await signLeaf(spec, order, key, intermediate)
      return makeBundle({ leaf, chain: [leaf, intermediate.certificate], key })
    },
  }
}

/** The root that clients have to trust; null before the first certificate was issued. */
export async function localCaRoot(issuer: string, keys: KeyKeeper): Promise<X509 | null> {
  return newest(await authorities(issuer, keys, 'root'))?.certificate ?? null
}

type Role = 'root' | 'intermediate'

/** An issuer's own keys stand beside the lineages, under names that no certificate of the fleet file can have. */
const shelfOf = (issuer: string, role: Role) => `ca..${issuer}..${role}`

async function authorities(issuer: string, keys: KeyKeeper, role: Role): Promise<Authority[]> {
  const shelf = shelfOf(issuer, role)
  const places = (await keys.list()).filter(({ lineage }) => lineage === shelf).map(({ spki }) => spki)
  return Promise.all(places.map((place) => read(issuer, keys, role, place)))
}

async function read(issuer: string, keys: KeyKeeper, role: Role, place: string): Promise<Authority> {
  const file = { file: `the ${role} of ${issuer}` }
  const record = await keys.get(shelfOf(issuer, role), place)
  const block = parsePem(record.reveal(), file).find(({ label }) => label === 'CERTIFICATE')
  if (!block) fail('INTERNAL', { what: `${file.file} is in the vault without its certificate` })
  const keyBlock = record.reveal().slice(0, record.reveal().indexOf('-----BEGIN CERTIFICATE-----'))
  return { place, certificate: parseCertificate(block.der, file), key: parsePrivateKey(Buffer.from(keyBlock), file) }
}

function newest(all: readonly Authority[]): Authority | undefined {
  return all.toSorted((left, right) => right.certificate.notAfterMs - left.certificate.notAfterMs)[0]
}

/** The newest that will do, else a new one: one that would end before its leaves will not, nor one of another root. */
async function authority(
  spec: LocalCaIssuer,
  keys: KeyKeeper,
  role: Role,
  nowMs: number,
  root?: Authority,
): Promise<Authority> {
  const all = await authorities(spec.name, keys, role)
  const known = newest(all.filter(({ certificate }) => !root || issued(root.certificate, certificate)))
  if (known && known.certificate.notAfterMs > nowMs + spec.lifetimeMs) return known
  const place = nextPlace(all, root)
  await keys.put(shelfOf(spec.name, role), await makeAuthority(spec, role, nowMs, root), place)
  return read(spec.name, keys, role, place)
}

/**
 * Named after what it succeeds, not after its key: two processes that make an authority at the same time want the same
 * place, the keeper gives it to the first, and both use what is there.
 */
function nextPlace(all: readonly Authority[], root: Authority | undefined): string {
  const before = all.map(({ place }) => place).toSorted()
  return createHash('sha256')
    .update([root?.certificate.fingerprint ?? 'root', ...before].join('\n'))
    .digest('hex')
}

async function makeAuthority(
  spec: LocalCaIssuer,
  role: Role,
  nowMs: number,
  root: Authority | undefined,
): Promise<Secret<string>> {
  const key = generatePrivateKey(role === 'root' ? 'ec-p384' : 'ec-p256')
  const certificate = await sign({
    subject: `CN=${authorityName(spec.commonName, role)}`,
    issuer: root?.certificate.subject ?? null,
    publicKey: createPublicKey(key.reveal()),
    signingKey: root?.key ?? key,
    nowMs,
    lifetimeMs: role === 'root' ? rootLifetimeMs : intermediateLifetimeMs,
    extensions: [
      new BasicConstraintsExtension(true, role === 'root' ? undefined : 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    ],
  })
  return new Secret(privateKeyPem(key).reveal() + certificate.pem)
}

function authorityName(commonName: string, role: Role): string {
  const suffix = role === 'root' ? ' Root' : ' Intermediate'
  const room = commonNameCharactersMax - suffix.length
  return `${[...commonName].slice(0, room).join('').trimEnd()}${suffix}`
}

async function signLeaf(
  spec: LocalCaIssuer,
  order: Order,
  key: Secret<KeyObject>,
  intermediate: Authority,
): Promise<X509> {
  // Where no name fits, the subject is empty and subjectAltName, all that clients look at, is critical (RFC 5280 section
  // 4.2.1.6).
  const commonName = order.names.find((name) => name.length <= commonNameCharactersMax)
  return sign({
    subject: commonName === undefined ? '' : `CN=${commonName}`,
    issuer: intermediate.certificate.subject,
    publicKey: createPublicKey(key.reveal()),
    signingKey: intermediate.key,
    nowMs: order.nowMs,
    lifetimeMs: spec.lifetimeMs,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        order.names.map((value) => ({ type: 'dns' as const, value })),
        commonName === undefined,
      ),
    ],
  })
}

interface ToSign {
  readonly subject: string
  /** null: signs itself. */
  readonly issuer: string | null
  readonly publicKey: KeyObject
  readonly signingKey: Secret<KeyObject>
  readonly nowMs: number
  readonly lifetimeMs: number
  readonly extensions: readonly Extension[]
}

/** A certificate in the profile of RFC 5280: random serial (section 4.1.2.2), key identifiers (4.2.1.1 and 4.2.1.2). */
async function sign(wanted: ToSign): Promise<X509> {
  const curve = wanted.signingKey.reveal().asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'P-384' : 'P-256'
  const algorithm = { name: 'ECDSA', namedCurve: curve, hash: curve === 'P-384' ? 'SHA-384' : 'SHA-256' }
  const publicKey = await importPublicKey(wanted.publicKey)
  const signingPublicKey = await importPublicKey(createPublicKey(wanted.signingKey.reveal()))
  // The first bit of the serial number stays 0: the number is positive.
  const serial = randomBytes(16)
  serial[0] = (serial[0] ?? 0) & 0x7f
  const certificate = await X509CertificateGenerator.create({
    serialNumber: serial.toString('hex'),
    subject: wanted.subject,
    issuer: wanted.issuer ?? wanted.subject,
    notBefore: new Date(wanted.nowMs - backdateMs),
    notAfter: new Date(wanted.nowMs - backdateMs + wanted.lifetimeMs),
    publicKey,
    signingKey: wanted.signingKey.reveal().toCryptoKey(algorithm, false, ['sign']) as webcrypto.CryptoKey,
    signingAlgorithm: algorithm,
    extensions: [
      ...wanted.extensions,
      await SubjectKeyIdentifierExtension.create(publicKey),
      await AuthorityKeyIdentifierExtension.create(signingPublicKey),
    ],
  })
  return parseCertificate(new Uint8Array(certificate.rawData), { file: wanted.subject })
}

function importPublicKey(key: KeyObject): Promise<webcrypto.CryptoKey> {
  const spki = key.export({ type: 'spki', format: 'der' })
  const rsa = key.asymmetricKeyType === 'rsa'
  const curve = key.asymmetricKeyDetails?.namedCurve === 'secp384r1' ? 'P-384' : 'P-256'
  const algorithm = rsa ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } : { name: 'ECDSA', namedCurve: curve }
  return webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']) as Promise<webcrypto.CryptoKey>
}
