import { malformed } from './flaw.ts'
import { Reader } from './reader.ts'

/** The TLS extensions that are sent or read here (IANA's registry, "ExtensionType Values"). */
export const extension = {
  serverName: 0,
  statusRequest: 5,
  supportedGroups: 10,
  pointFormats: 11,
  signatureAlgorithms: 13,
  alpn: 16,
  signedCertificateTimestamps: 18,
  padding: 21,
  extendedMasterSecret: 23,
  supportedVersions: 43,
  cookie: 44,
  certificateSignatureAlgorithms: 50,
  keyShare: 51,
  renegotiationInfo: 65281,
} as const

/**
 * The extensions of one message, by type.
 * @param allowed what was offered and may stand in this message: a server answers, it does not begin (RFC 8446 section 4.2)
 */
export function readExtensions(bytes: Buffer, allowed: readonly number[], name: string): ReadonlyMap<number, Buffer> {
  const reader = new Reader(bytes, name)
  const found = new Map<number, Buffer>()
  while (reader.left > 0) {
    const type = reader.uint16()
    const body = reader.vector(2)
    if (found.has(type)) malformed(`${name} has the extension ${type} twice`)
    if (!allowed.includes(type)) malformed(`${name} has the extension ${type}, which was not offered for it`)
    found.set(type, body)
  }
  return found
}

/** Of extensions by which a server says only that it took what was offered. */
export function expectEmpty(found: ReadonlyMap<number, Buffer>, types: readonly number[], name: string): void {
  for (const type of types)
    if ((found.get(type)?.length ?? 0) > 0) malformed(`${name} has something in the extension ${type}`)
}

/** RFC 7301 section 3.1: exactly one protocol, of those offered. */
export function readAlpn(body: Buffer | undefined, offered: readonly string[]): string | null {
  if (body === undefined) return null
  const list = new Reader(body, 'the ALPN extension')
  const protocols = new Reader(list.vector(2), 'the ALPN extension')
  list.end()
  const protocol = protocols.vector(1).toString('latin1')
  protocols.end()
  if (!offered.includes(protocol)) malformed('the server chose an application protocol that was not offered')
  return protocol
}

/** RFC 6962 section 3.3: how many timestamps the list holds. */
export function countTimestamps(body: Buffer | undefined): number {
  if (body === undefined) return 0
  const outer = new Reader(body, 'the list of SCTs')
  const list = new Reader(outer.vector(2), 'the list of SCTs')
  outer.end()
  let count = 0
  for (; list.left > 0; count++) list.vector(2)
  return count
}

/** RFC 6066 section 8: CertificateStatus, with a response of OCSP or nothing that we know. */
export function hasStaple(body: Buffer | undefined): boolean {
  if (body === undefined || body.length === 0) return false
  const reader = new Reader(body, 'the certificate status')
  const ocsp = reader.uint8() === 1
  const response = reader.vector(3)
  reader.end()
  return ocsp && response.length > 0
}
