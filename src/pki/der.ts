import * as asn1js from 'asn1js'
import { inputBytesMax } from '../base/limits.ts'

/** ITU-T X.690. A container of a few certificates has some thousand elements and is less than 20 deep. */
const limits = { maxDepth: 64, maxNodes: 100_000, maxContentLength: inputBytesMax }

export type Der = asn1js.AsnType

/** The bytes are not the structure that was asked for. Public functions of this room turn it into a code of the catalogue. */
export class DerError extends Error {}

/** One element that fills `bytes` exactly. BER (indefinite lengths, cut octet strings) is read as well. */
export function readDer(bytes: Uint8Array): Der {
  const { result, offset } = asDerError(() => asn1js.fromBER(bytes, limits))
  if (offset === -1) throw new DerError('not DER')
  if (offset !== bytes.length) throw new DerError('bytes after the end')
  return result
}

/** asn1js reports most defects by its result, but throws on malformed times and strings. */
function asDerError<T>(read: () => T): T {
  try {
    return read()
  } catch (cause) {
    throw new DerError('malformed', { cause })
  }
}

export function isSequence(element: Der | undefined): element is asn1js.Sequence {
  return element instanceof asn1js.Sequence
}

/** Members of a SEQUENCE, a SET or a constructed context tag. */
export function members(element: Der | undefined): readonly Der[] {
  if (element instanceof asn1js.Sequence || element instanceof asn1js.Set || element instanceof asn1js.Constructed) {
    return element.valueBlock.value
  }
  throw new DerError('not constructed')
}

export function oid(element: Der | undefined): string {
  if (!(element instanceof asn1js.ObjectIdentifier)) throw new DerError('not an OBJECT IDENTIFIER')
  return element.getValue()
}

export function isOid(element: Der | undefined): boolean {
  return element instanceof asn1js.ObjectIdentifier
}

/** Content of an OCTET STRING, joined where BER has cut it in pieces; also of an implicitly tagged one. */
export function octets(element: Der | undefined): Uint8Array {
  if (element instanceof asn1js.OctetString) return asDerError(() => new Uint8Array(element.getValue()))
  if (element instanceof asn1js.Primitive) return element.valueBlock.valueHexView
  if (element instanceof asn1js.Constructed) return Buffer.concat(element.valueBlock.value.map(octets))
  throw new DerError('not an OCTET STRING')
}

export function isOctets(element: Der | undefined): boolean {
  return element instanceof asn1js.OctetString
}

export function isBits(element: Der | undefined): boolean {
  return element instanceof asn1js.BitString
}

/** First byte of a BIT STRING's content: enough for KeyUsage. */
export function firstBits(element: Der | undefined): number {
  if (!(element instanceof asn1js.BitString)) throw new DerError('not a BIT STRING')
  return element.valueBlock.valueHexView[0] ?? 0
}

export function isInteger(element: Der | undefined): element is asn1js.Integer {
  return element instanceof asn1js.Integer
}

/** A small INTEGER; larger ones than 2^31 are refused. */
export function integer(element: Der | undefined): number {
  if (!isInteger(element) || element.valueBlock.valueHexView.length > 5) throw new DerError('not a small INTEGER')
  const value = Number(element.toBigInt())
  if (value < 0 || value > 2 ** 31) throw new DerError('INTEGER out of range')
  return value
}

export function isTrue(element: Der | undefined): boolean {
  return element instanceof asn1js.Boolean && element.getValue()
}

/** Any of the string types; undefined for anything else. */
export function text(element: Der | undefined): string | undefined {
  return element instanceof asn1js.BaseStringBlock ? element.getValue() : undefined
}

/** Context tag number, or -1 for anything else. */
export function contextTag(element: Der | undefined): number {
  return element && element.idBlock.tagClass === 3 ? element.idBlock.tagNumber : -1
}

export const sequence = (...value: Der[]): Der => new asn1js.Sequence({ value })
export const set = (...value: Der[]): Der => new asn1js.Set({ value })
export const number = (value: number): Der => new asn1js.Integer({ value })
export const objectId = (value: string): Der => new asn1js.ObjectIdentifier({ value })
export const nothing = (): Der => new asn1js.Null()
export const octetString = (bytes: Uint8Array): Der => new asn1js.OctetString({ valueHex: copy(bytes) })
/** Whole bytes. */
export const bitString = (bytes: Uint8Array): Der => new asn1js.BitString({ valueHex: copy(bytes), unusedBits: 0 })
export const bmpString = (value: string): Der => new asn1js.BmpString({ value })

/** `[tag] EXPLICIT`. */
export const explicit = (tagNumber: number, ...value: Der[]): Der =>
  new asn1js.Constructed({ idBlock: { tagClass: 3, tagNumber }, value })

/** `[tag] IMPLICIT OCTET STRING`. */
export const implicitOctets = (tagNumber: number, bytes: Uint8Array): Der =>
  new asn1js.Primitive({ idBlock: { tagClass: 3, tagNumber }, valueHex: copy(bytes) })

export function writeDer(element: Der): Uint8Array {
  return new Uint8Array(element.toBER())
}

/** asn1js wants an ArrayBuffer of its own, not a window into a pool. */
function copy(bytes: Uint8Array): ArrayBuffer {
  const buffer = new ArrayBuffer(bytes.length)
  new Uint8Array(buffer).set(bytes)
  return buffer
}
