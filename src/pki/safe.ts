import { createHash, type KeyObject } from 'node:crypto'
import type { Secret } from '../base/secret.ts'
import type { X509 } from './certificate.ts'
import {
  bmpString,
  type Der,
  DerError,
  explicit,
  implicitOctets,
  members,
  number,
  objectId,
  octetString,
  octets,
  oid,
  readDer,
  sequence,
  set,
  writeDer,
} from './der.ts'
import { decryptPbe, type Encrypted, type PasswordBytes, PbeError, type RoundBudget } from './pbe.ts'

/** What the safes of a PKCS#12 container hold, in its order. */
export interface SafeContents {
  readonly keys: readonly Secret<KeyObject>[]
  readonly certificates: readonly X509[]
}

const oids = {
  data: '1.2.840.113549.1.7.1',
  encryptedData: '1.2.840.113549.1.7.6',
  keyBag: '1.2.840.113549.1.12.10.1.1',
  shroudedKeyBag: '1.2.840.113549.1.12.10.1.2',
  certificateBag: '1.2.840.113549.1.12.10.1.3',
  safeContentsBag: '1.2.840.113549.1.12.10.1.6',
  x509Certificate: '1.2.840.113549.1.9.22.1',
  friendlyName: '1.2.840.113549.1.9.20',
  localKeyId: '1.2.840.113549.1.9.21',
}

/** Safes within safes; nobody writes even one. */
const nestingMax = 4

/** Content of a ContentInfo of type data: what the integrity check covers. */
export function safeContent(contentInfo: Der | undefined): Uint8Array {
  const [type, content] = members(contentInfo)
  if (oid(type) !== oids.data) throw new PbeError('unsupported', 'protected with a public key, not a password')
  return octets(members(content)[0])
}

/** RFC 7292 section 4.1 and 4.2. Throws DerError or PbeError. */
export function openSafe(
  authSafe: Uint8Array,
  password: PasswordBytes,
  budget: RoundBudget,
  readCertificate: (der: Uint8Array) => X509,
  readKey: (pkcs8: Uint8Array) => Secret<KeyObject>,
): SafeContents {
  const keys: Secret<KeyObject>[] = []
  const certificates: X509[] = []
  const readBags = (bags: Uint8Array, depth: number): void => {
    if (depth > nestingMax) throw new DerError('safes nested too deep')
    for (const bag of members(readDer(bags))) {
      const [type, tagged] = members(bag)
      const value = members(tagged)[0]
      const name = oid(type)
      if (!value) throw new DerError('empty bag')
      if (name === oids.keyBag) keys.push(readKey(writeDer(value)))
      if (name === oids.shroudedKeyBag) {
        const [algorithm, data] = members(value)
        if (!algorithm) throw new DerError('empty key bag')
        keys.push(readKey(decryptPbe(algorithm, octets(data), password, budget)))
      }
      if (name === oids.certificateBag && oid(members(value)[0]) === oids.x509Certificate) {
        certificates.push(readCertificate(octets(members(members(value)[1])[0])))
      }
      if (name === oids.safeContentsBag) readBags(writeDer(value), depth + 1)
    }
  }
  for (const info of members(readDer(authSafe))) {
    const encrypted = oid(members(info)[0]) === oids.encryptedData
    readBags(encrypted ? decryptSafe(info, password, budget) : safeContent(info), 0)
  }
  return { keys, certificates }
}

/** RFC 5652 section 8: EncryptedData. */
function decryptSafe(info: Der, password: PasswordBytes, budget: RoundBudget): Uint8Array {
  const [, encryptedInfo] = members(members(members(info)[1])[0])
  const [, algorithm, content] = members(encryptedInfo)
  if (!algorithm) throw new DerError('no algorithm')
  return decryptPbe(algorithm, octets(content), password, budget)
}

export function dataInfo(content: Uint8Array): Der {
  return sequence(objectId(oids.data), explicit(0, octetString(content)))
}

/** One safe with the certificates, one with the key; both encrypted. */
export function authenticatedSafe(
  {
    key,
    chain,
    friendlyName,
  }: { readonly key: Secret<KeyObject>; readonly chain: readonly X509[]; readonly friendlyName?: string },
  encrypt: (data: Uint8Array) => Encrypted,
): Uint8Array {
  const [leaf] = chain
  const id = leaf ? [attribute(oids.localKeyId, octetString(createHash('sha1').update(leaf.der).digest()))] : []
  const name = friendlyName === undefined ? [] : [attribute(oids.friendlyName, bmpString(friendlyName))]
  const attributes = [...id, ...name]
  const certificates = chain.map((certificate) => {
    const content = sequence(objectId(oids.x509Certificate), explicit(0, octetString(certificate.der)))
    return bag(oids.certificateBag, content, certificate === leaf ? attributes : [])
  })
  const shrouded = encrypt(key.reveal().export({ type: 'pkcs8', format: 'der' }))
  const keyContent = sequence(shrouded.algorithm, octetString(shrouded.data))
  const keys = writeDer(sequence(bag(oids.shroudedKeyBag, keyContent, attributes)))
  return writeDer(sequence(encryptedInfo(encrypt(writeDer(sequence(...certificates)))), dataInfo(keys)))
}

function encryptedInfo({ algorithm, data }: Encrypted): Der {
  const content = sequence(objectId(oids.data), algorithm, implicitOctets(0, data))
  return sequence(objectId(oids.encryptedData), explicit(0, sequence(number(0), content)))
}

function bag(type: string, content: Der, attributes: readonly Der[]): Der {
  const tagged = explicit(0, content)
  return attributes.length === 0
    ? sequence(objectId(type), tagged)
    : sequence(objectId(type), tagged, set(...attributes))
}

function attribute(type: string, value: Der): Der {
  return sequence(objectId(type), set(value))
}
