import 'reflect-metadata'
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, webcrypto } from 'node:crypto'
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
import { Secret } from '../base/secret.ts'
import type { LocalCaIssuer } from '../fleet/fleet.ts'
import { type Bundle, makeBundle } from '../pki/bundle.ts'
import { parseCertificate, type X509 } from '../pki/certificate.ts'
import { generatePrivateKey, parsePrivateKey, privateKeyPem, spkiOf } from '../pki/key.ts'
import { parsePem } from '../pki/pem.ts'
import type { Issuer, KeyKeeper, Order } from './issuer.ts'

cryptoProvider.set(webcrypto)

const dayMs = 86_400_000
const rootLifetimeMs = 3650 * dayMs
const intermediateLifetimeMs = 1825 * dayMs
/** Servers whose clock is a little behind accept the certificate at once. */
const backdateMs = 3_600_000

interface Authority {
  readonly certificate: X509
  readonly key: Secret<KeyObject>
}

/** A CA of our own, root and intermediate, in the vault: for labs and internal names. Clients have to trust its root. */
export function localCa(spec: LocalCaIssuer, keys: KeyKeeper): Issuer {
  return {
    async issue(order: Order): Promise<Bundle> {
      const root = await authority(spec, keys, 'root', order.nowMs, null)
      const intermediate = await authority(spec, keys, 'intermediate', order.nowMs, root)
      const key = await leafKey(order, keys)
      const leaf = await signLeaf(spec, order, key, intermediate)
      return makeBundle({ leaf, chain: [leaf, intermediate.certificate], key })
    },
  }
}

/** The root that clients have to trust; null before the first certificate was issued. */
export async function localCaRoot(issuer: string, keys: KeyKeeper): Promise<X509 | null> {
  return (await load(issuer, keys, 'root'))?.certificate ?? null
}

type Role = 'root' | 'intermediate'

/** An issuer's own keys stand beside the lineages, under names that no certificate of the fleet file can have. */
const shelf = (issuer: string, role: Role) => `ca..${issuer}..${role}`

async function load(issuer: string, keys: KeyKeeper, role: Role): Promise<Authority | null> {
  const name = shelf(issuer, role)
  const entry = (await keys.list()).find(({ lineage }) => lineage === name)
  if (!entry) return null
  const record = await keys.get(name, entry.spki)
  const block = parsePem(record.reveal(), { file: 'vault' }).find(({ label }) => label === 'CERTIFICATE')
  if (!block) return null
  const file = { file: `the ${role} of ${issuer}` }
  const keyBlock = record.reveal().slice(0, record.reveal().indexOf('-----BEGIN CERTIFICATE-----'))
  return { certificate: parseCertificate(block.der, file), key: parsePrivateKey(Buffer.from(keyBlock), file) }
}

async function authority(
  spec: LocalCaIssuer,
  keys: KeyKeeper,
  role: Role,
  nowMs: number,
  root: Authority | null,
): Promise<Authority> {
  const known = await load(spec.name, keys, role)
  // One that would end before its leaves makes way for a new one.
  if (known && known.certificate.notAfterMs > nowMs + spec.lifetimeMs) return known
  const key = generatePrivateKey(role === 'root' ? 'ec-p384' : 'ec-p256')
  const certificate = await sign({
    subject: `CN=${spec.commonName} ${role === 'root' ? 'Root' : 'Intermediate'}`,
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
  const record = new Secret(privateKeyPem(key).reveal() + certificate.pem)
  await keys.put(shelf(spec.name, role), record, spkiOf(key))
  return { certificate, key }
}

async function leafKey(order: Order, keys: KeyKeeper): Promise<Secret<KeyObject>> {
  if (order.keepKey !== null) {
    const pem = await keys.get(order.lineage, order.keepKey)
    return new Secret(createPrivateKey(pem.reveal()))
  }
  const key = generatePrivateKey(order.keyType)
  await keys.put(order.lineage, privateKeyPem(key), spkiOf(key))
  return key
}

async function signLeaf(
  spec: LocalCaIssuer,
  order: Order,
  key: Secret<KeyObject>,
  intermediate: Authority,
): Promise<X509> {
  const [first = ''] = order.names
  return sign({
    subject: `CN=${first}`,
    issuer: intermediate.certificate.subject,
    publicKey: createPublicKey(key.reveal()),
    signingKey: intermediate.key,
    nowMs: order.nowMs,
    lifetimeMs: spec.lifetimeMs,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(order.names.map((value) => ({ type: 'dns', value }))),
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
