import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readBounded } from '../base/durable.ts'
import { fail, OnecertError, retold, withOthers } from '../base/errors.ts'
import { inputBytesMax } from '../base/limits.ts'
import { Secret } from '../base/secret.ts'
import type { ImportPemIssuer, ImportPkcs12Issuer } from '../fleet/fleet.ts'
import { assessBundle, type Bundle } from '../pki/bundle.ts'
import { parseCertificates, type X509 } from '../pki/certificate.ts'
import { parsePrivateKey, privateKeyPem } from '../pki/key.ts'
import { readPkcs12 } from '../pki/pkcs12.ts'
import type { Issuer, KeyKeeper, Order } from './issuer.ts'

/** A bought certificate: PEM or DER files. The key file may go once the vault holds the key. */
export function importPem(spec: ImportPemIssuer, keys: KeyKeeper): Issuer {
  return {
    async issue(order) {
      const certificates = await readCertificates(spec.certificate)
      const chain = spec.chain === undefined ? [] : await readCertificates(spec.chain)
      const [leaf] = certificates
      if (leaf?.fingerprint === order.newest) return null
      const key = (await keyFile(spec)) ?? (leaf ? await keptKey(order, leaf, keys, spec) : null)
      return accept([...certificates, ...chain], key, order, keys)
    },
  }
}

/** The same from a PKCS#12 container. */
export function importPkcs12(spec: ImportPkcs12Issuer, keys: KeyKeeper): Issuer {
  return {
    async issue(order) {
      const password = await passphrase(spec.passphraseFile)
      const contents = readPkcs12(await readBounded(spec.pkcs12, { bytesMax: inputBytesMax }), {
        file: spec.pkcs12,
        ...(password && { password }),
      })
      if (contents.certificates.some(({ fingerprint }) => fingerprint === order.newest)) return null
      return accept(contents.certificates, contents.key, order, keys)
    },
  }
}

async function accept(
  certificates: readonly X509[],
  key: Secret<KeyObject> | null,
  order: Order,
  keys: KeyKeeper,
): Promise<Bundle> {
  if (key === null) fail('VAULT_KEY_MISSING', { what: `no private key for ${order.lineage}` })
  const { bundle, errors } = assessBundle({ certificates, key }, { names: order.names, nowMs: order.nowMs })
  const [first, ...also] = errors
  if (first) throw retold(withOthers(first, also), { state: 'nothing was stored and no server was touched' })
  if (!bundle) fail('INTERNAL', { what: `an assessment of ${order.lineage} without result` })
  await keys.put(order.lineage, privateKeyPem(bundle.key), bundle.spki)
  return bundle
}

async function readCertificates(file: string): Promise<X509[]> {
  return parseCertificates(await readBounded(file, { bytesMax: inputBytesMax }), { file })
}

async function keyFile(spec: ImportPemIssuer): Promise<Secret<KeyObject> | null> {
  const { key: file, passphraseFile } = spec
  if (file === undefined) return null
  const bytes = await readBounded(file, { bytesMax: inputBytesMax }).catch((error: unknown) => {
    if (error instanceof OnecertError && error.code === 'INPUT_NOT_FOUND') return null
    throw error
  })
  if (bytes === null) return null
  const password = await passphrase(passphraseFile)
  return parsePrivateKey(bytes, { file, ...(password && { passphrase: password }) })
}

async function keptKey(order: Order, leaf: X509, keys: KeyKeeper, spec: ImportPemIssuer): Promise<Secret<KeyObject>> {
  if (!(await keys.has(order.lineage, leaf.spki))) {
    fail('VAULT_KEY_MISSING', {
      what: `no private key for the certificate in ${spec.certificate}`,
      fact: `${spec.key ? `${spec.key} is not there` : 'the fleet file names no key file'}, and the vault has no key with SPKI ${leaf.spki.slice(0, 8)}`,
      state: 'nothing was stored and no server was touched',
      next: `put the key file back, then: onecert apply`,
    })
  }
  const pem = await keys.get(order.lineage, leaf.spki)
  return new Secret(createPrivateKey(pem.reveal()))
}

async function passphrase(file: string | undefined): Promise<Secret<string> | null> {
  if (file === undefined) return null
  const text = Buffer.from(await readBounded(file, { bytesMax: 4096 })).toString('utf8')
  return new Secret(text.replace(/\r?\n$/, ''))
}
