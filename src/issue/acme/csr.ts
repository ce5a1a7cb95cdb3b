import { createPublicKey, type KeyObject, sign } from 'node:crypto'
import { fail } from '../../base/errors.ts'
import type { Secret } from '../../base/secret.ts'
import {
  bitString,
  type Der,
  explicit,
  implicitOctets,
  nothing,
  number,
  objectId,
  octetString,
  readDer,
  sequence,
  set,
  writeDer,
} from '../../pki/der.ts'
import { keyTypeOf } from '../../pki/key.ts'

const extensionRequest = '1.2.840.113549.1.9.14'
const subjectAltName = '2.5.29.17'
const dnsName = 2

interface Signature {
  readonly hash: 'sha256' | 'sha384'
  readonly algorithm: Der
}

/**
 * A certificate request in DER (RFC 2986), as RFC 8555 section 7.4 wants it: the names in subjectAltName. The subject is
 * empty: CAs take no name from there that does not stand among the others, and a common name has room for 64 characters.
 * @throws OnecertError KEY_UNSUPPORTED_BY_CA
 */
export function makeCsr(names: readonly string[], key: Secret<KeyObject>): Uint8Array {
  const { hash, algorithm } = signatureOf(key)
  const spki = createPublicKey(key.reveal()).export({ type: 'spki', format: 'der' })
  const alternatives = sequence(...names.map((name) => implicitOctets(dnsName, Buffer.from(name, 'ascii'))))
  const extension = sequence(objectId(subjectAltName), octetString(writeDer(alternatives)))
  const attribute = sequence(objectId(extensionRequest), set(sequence(extension)))
  const body = sequence(number(0), sequence(), readDer(new Uint8Array(spki)), explicit(0, attribute))
  const signature = sign(hash, writeDer(body), key.reveal())
  return writeDer(sequence(body, algorithm, bitString(signature)))
}

/** RFC 5758 section 3.2, RFC 4055 section 5. */
function signatureOf(key: Secret<KeyObject>): Signature {
  const type = keyTypeOf(key)
  if (type === 'ec-p256') return { hash: 'sha256', algorithm: sequence(objectId('1.2.840.10045.4.3.2')) }
  if (type === 'ec-p384') return { hash: 'sha384', algorithm: sequence(objectId('1.2.840.10045.4.3.3')) }
  if (/^rsa-\d+$/.test(type)) {
    return { hash: 'sha256', algorithm: sequence(objectId('1.2.840.113549.1.1.11'), nothing()) }
  }
  return fail('KEY_UNSUPPORTED_BY_CA', {
    what: 'the private key is of a type that public CAs do not sign',
    fact: `its type is ${type}; public CAs take ec-p256, ec-p384 and rsa-2048 to rsa-4096`,
    next: 'make a new key (ec-p256 is a good choice)',
  })
}
