import { fail } from '../../base/errors.ts'
import { contextTag, type Der, DerError, isInteger, members, octets, oid, readDer } from '../../pki/der.ts'

/**
 * What a CA calls a certificate where it gives renewal information (RFC 9773 section 4.1): authority key identifier and
 * serial number.
 * @throws OnecertError PEM_DAMAGED where it has none of them
 */
export function certificateId(leafDer: Uint8Array): string {
  try {
    const body = members(members(readDer(leafDer))[0])
    // [0] version stands first where it is not 1 (RFC 5280 section 4.1).
    const serial = contextTag(body[0]) === 0 ? body[1] : body[0]
    if (!isInteger(serial)) throw new DerError('no serial number')
    // With the leading zero byte that keeps it positive: the bytes are those of the DER.
    return `${base64url(keyIdentifier(body))}.${base64url(serial.valueBlock.valueHexView)}`
  } catch (cause) {
    if (!(cause instanceof DerError)) throw cause
    return fail('PEM_DAMAGED', {
      what: 'the certificate has no name that its CA could give renewal information for',
      fact: `its authority key identifier or its serial number cannot be read: ${cause.message}`,
      cause,
    })
  }
}

/** RFC 5280 section 4.2.1.1. */
function keyIdentifier(body: readonly Der[]): Uint8Array {
  const extensions = body.filter((element) => contextTag(element) === 3).flatMap((each) => members(members(each)[0]))
  const authority = extensions.map(members).find(([name]) => oid(name) === '2.5.29.35')
  const identifier = members(readDer(octets(authority?.at(-1)))).find((element) => contextTag(element) === 0)
  return octets(identifier)
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}
