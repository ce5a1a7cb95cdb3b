import { fail, quote } from '../base/errors.ts'
import { inputBytesMax } from '../base/limits.ts'
import { contextTag, type Der, isBits, isInteger, isOctets, isOid, isSequence, members, readDer } from './der.ts'
import { type InputName, type PemBlock, parsePem } from './pem.ts'

/** What the bytes look like. DER that is none of the known structures has the label `DATA`. */
export type Input =
  | { readonly form: 'pem'; readonly blocks: readonly PemBlock[] }
  | { readonly form: 'der'; readonly label: DerLabel; readonly der: Uint8Array }

/** Labels of RFC 7468 where it has one. */
export type DerLabel =
  | 'CERTIFICATE'
  | 'CERTIFICATE REQUEST'
  | 'X509 CRL'
  | 'PKCS7'
  | 'PKCS12'
  | 'PRIVATE KEY'
  | 'ENCRYPTED PRIVATE KEY'
  | 'RSA PRIVATE KEY'
  | 'EC PRIVATE KEY'
  | 'PUBLIC KEY'
  | 'DATA'

/** Refuses what is too large before anything is parsed, and what is empty. */
export function checkSize(bytes: Uint8Array, { file }: InputName): void {
  const name = quote(file)
  if (bytes.length > inputBytesMax) {
    fail('INPUT_TOO_LARGE', {
      what: `${name} is too large`,
      fact: `${mebibytes(bytes.length)} MiB, limit ${mebibytes(inputBytesMax)} MiB`,
      next: 'check the path: certificates and keys are a few KiB',
    })
  }
  if (bytes.length === 0) {
    fail('PEM_EMPTY', {
      what: `${name} is empty`,
      fact: `file ${name} has 0 bytes`,
      next: 'check the path, and export the file again',
    })
  }
}

/** PEM or DER, by the bytes and not by the name. Fails as {@link checkSize} and parsePem do. */
export function sniff(bytes: Uint8Array, name: InputName): Input {
  checkSize(bytes, name)
  // 0x30 is both SEQUENCE and the digit "0"; text may begin with a digit, so the marker decides first.
  if (bytes[0] === 0x30 && !Buffer.from(bytes).includes('-----BEGIN ')) {
    return { form: 'der', label: derLabel(bytes), der: bytes }
  }
  return { form: 'pem', blocks: parsePem(decodeText(bytes), name) }
}

/** Windows exports may be UTF-16 with a byte order mark. */
function decodeText(bytes: Uint8Array): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return new TextDecoder('utf-16le').decode(bytes)
  if (bytes[0] === 0xfe && bytes[1] === 0xff) return new TextDecoder('utf-16be').decode(bytes)
  // Latin-1 never fails and keeps ASCII: comments around a block may be in any encoding.
  return Buffer.from(bytes)
    .toString('latin1')
    .replace(/^\xef\xbb\xbf/, '')
}

/** Names a structure by its first elements: RFC 5280, 2986, 5958, 8017, 5915, 2315, 7292. */
export function derLabel(bytes: Uint8Array): DerLabel {
  try {
    const [first, second, third] = members(readDer(bytes))
    if (isOid(first)) return 'PKCS7'
    if (isInteger(first)) return integerLabel(Number(first.toBigInt()), second, third)
    if (!isSequence(first)) return 'DATA'
    if (isSequence(second) && isBits(third)) return signedLabel(members(first))
    if (isBits(second)) return 'PUBLIC KEY'
    if (isOctets(second)) return 'ENCRYPTED PRIVATE KEY'
    return 'DATA'
  } catch {
    return 'DATA'
  }
}

function integerLabel(version: number, second: Der | undefined, third: Der | undefined): DerLabel {
  if (version === 3 && isSequence(second)) return 'PKCS12'
  if (isSequence(second) && isOctets(third)) return 'PRIVATE KEY'
  if (version === 0 && isInteger(second)) return 'RSA PRIVATE KEY'
  if (version === 1 && isOctets(second)) return 'EC PRIVATE KEY'
  return 'DATA'
}

function signedLabel(body: readonly Der[]): DerLabel {
  if (contextTag(body[0]) === 0) return 'CERTIFICATE'
  if (!isInteger(body[0]) || !isSequence(body[2])) return 'X509 CRL'
  if (isBits(members(body[2])[1])) return 'CERTIFICATE REQUEST'
  return isSequence(body[3]) ? 'CERTIFICATE' : 'X509 CRL'
}

function mebibytes(bytes: number): string {
  return String(Math.ceil((bytes / 1024 / 1024) * 10) / 10)
}
