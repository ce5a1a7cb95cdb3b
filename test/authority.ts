import 'reflect-metadata'
import { webcrypto } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import * as x509 from '@peculiar/x509'

x509.cryptoProvider.set(webcrypto as typeof crypto)

const dayMs = 86_400_000
const ecdsa = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const
const rsa = (bits: number) =>
  ({
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: bits,
    publicExponent: new Uint8Array([1, 0, 1]),
  }) as const

/** A CA that sells what it is asked for, good or bad: a root, an intermediate, leaves. */
export interface Authority {
  readonly rootPem: string
  readonly intermediatePem: string
  sell(order: Order): Promise<Sold>
  /** The certificate of another CA, with its name and key, signed by this root. */
  crossSign(certificatePem: string): Promise<string>
}

export interface Order {
  readonly names: readonly string[]
  /** From today; default 0 to 90. */
  readonly fromDay?: number
  readonly toDay?: number
  readonly rsaBits?: number
  /** Sign this key again, as a renewal with the same key does. */
  readonly keys?: webcrypto.CryptoKeyPair
}

export interface Sold {
  readonly leafPem: string
  readonly keyPem: string
  readonly keys: webcrypto.CryptoKeyPair
  /** SHA-256 of the leaf, lower-case hex. */
  readonly fingerprint: string
}

export async function createAuthority(name = 'Test'): Promise<Authority> {
  const rootKeys = await generate(ecdsa)
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name} Root`,
    keys: rootKeys,
    signingAlgorithm: ecdsa,
    ...days(-10, 3650),
    extensions: [new x509.BasicConstraintsExtension(true, 1, true), certifies(), await identifier(rootKeys)],
  })
  const keys = await generate(ecdsa)
  const intermediate = await x509.X509CertificateGenerator.create({
    subject: `CN=${name} Intermediate`,
    issuer: root.subject,
    publicKey: keys.publicKey,
    signingKey: rootKeys.privateKey,
    signingAlgorithm: ecdsa,
    ...days(-10, 1800),
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      certifies(),
      await identifier(keys),
      await x509.AuthorityKeyIdentifierExtension.create(rootKeys.publicKey),
    ],
  })
  return {
    rootPem: `${root.toString('pem')}\n`,
    intermediatePem: `${intermediate.toString('pem')}\n`,
    async sell({ names, fromDay = 0, toDay = 90, rsaBits, keys: given }) {
      const leafKeys = given ?? (await generate(rsaBits === undefined ? ecdsa : rsa(rsaBits)))
      const leaf = await x509.X509CertificateGenerator.create({
        subject: `CN=${names[0]}`,
        issuer: intermediate.subject,
        publicKey: leafKeys.publicKey,
        signingKey: keys.privateKey,
        signingAlgorithm: ecdsa,
        ...days(fromDay, toDay),
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
          new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
          new x509.SubjectAlternativeNameExtension(names.map((value) => ({ type: 'dns', value }))),
          await identifier(leafKeys),
          await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey),
        ],
      })
      const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', leafKeys.privateKey)
      return {
        leafPem: `${leaf.toString('pem')}\n`,
        keyPem: `${x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')}\n`,
        keys: leafKeys,
        fingerprint: Buffer.from(await leaf.getThumbprint('SHA-256')).toString('hex'),
      }
    },
    async crossSign(certificatePem) {
      const { subject, publicKey } = new x509.X509Certificate(certificatePem)
      const crossed = await x509.X509CertificateGenerator.create({
        subject,
        issuer: root.subject,
        publicKey,
        signingKey: rootKeys.privateKey,
        signingAlgorithm: ecdsa,
        ...days(-10, 1800),
        extensions: [
          new x509.BasicConstraintsExtension(true, 1, true),
          certifies(),
          await x509.SubjectKeyIdentifierExtension.create(publicKey),
          await x509.AuthorityKeyIdentifierExtension.create(rootKeys.publicKey),
        ],
      })
      return `${crossed.toString('pem')}\n`
    },
  }
}

/** Writes what was sold as people get it: `leaf.pem`, `chain.pem` (the intermediate), `key.pem`. */
export async function deliver(directory: string, authority: Authority, { leafPem, keyPem }: Sold): Promise<void> {
  await mkdir(directory, { recursive: true })
  await writeFile(join(directory, 'leaf.pem'), leafPem)
  await writeFile(join(directory, 'chain.pem'), authority.intermediatePem)
  await writeFile(join(directory, 'key.pem'), keyPem, { mode: 0o600 })
}

function generate(algorithm: typeof ecdsa | ReturnType<typeof rsa>): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']) as Promise<webcrypto.CryptoKeyPair>
}

function days(from: number, to: number): { notBefore: Date; notAfter: Date } {
  // An hour back, so that today is valid already.
  const nowMs = Date.now() - 3_600_000
  return { notBefore: new Date(nowMs + from * dayMs), notAfter: new Date(nowMs + to * dayMs) }
}

function certifies(): x509.KeyUsagesExtension {
  return new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true)
}

function identifier(keys: webcrypto.CryptoKeyPair): Promise<x509.SubjectKeyIdentifierExtension> {
  return x509.SubjectKeyIdentifierExtension.create(keys.publicKey)
}
