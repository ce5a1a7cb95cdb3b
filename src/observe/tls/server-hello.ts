import type { Offer } from './client-hello.ts'
import { expectEmpty, extension, readExtensions } from './extensions.ts'
import { malformed, TlsFlaw, unproven, unsupported } from './flaw.ts'
import { Reader } from './reader.ts'
import type { Message } from './records.ts'
import { type Suite12, type Suite13, suites12, suites13 } from './suites.ts'

export type ServerHello =
  | { readonly version: 'TLSv1.3'; readonly suite: Suite13; readonly group: number; readonly share: Buffer }
  | {
      readonly version: 'TLSv1.2'
      readonly suite: Suite12
      readonly random: Buffer
      readonly extensions: ReadonlyMap<number, Buffer>
    }
  /** HelloRetryRequest. */
  | {
      readonly version: 'again'
      readonly suite: Suite13
      readonly group: number | undefined
      readonly cookie: Buffer | undefined
    }

const serverHelloType = 2

/** RFC 8446 section 4.1.3: the random number by which a HelloRetryRequest is known. */
const retryRandom = Buffer.from('cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c', 'hex')
/** The same: what a server that could do more ends its random number with. The last byte is 1 (TLS 1.2) or 0 (older). */
const downgrade = Buffer.from('DOWNGRD')

/** Beside the server's name, where one was sent. */
const allowed12 = [
  extension.statusRequest,
  // Against all RFCs some balancers send it; OpenSSL overlooks it as well.
  extension.supportedGroups,
  extension.pointFormats,
  extension.alpn,
  extension.signedCertificateTimestamps,
  extension.extendedMasterSecret,
  extension.renegotiationInfo,
]

/** RFC 8446 section 4.1.3, RFC 5246 section 7.4.1.3. @throws TlsFlaw */
export function readServerHello({ type, body }: Message, offer: Offer): ServerHello {
  if (type !== serverHelloType) malformed(`the server begins with a message of type ${type}`)
  const reader = new Reader(body, 'the ServerHello')
  const version = reader.uint16()
  const random = reader.bytes(32)
  const sessionId = reader.vector(1)
  const suite = reader.uint16()
  const compression = reader.uint8()
  // RFC 5246 section 7.4.1.3: a server without extensions leaves them out altogether.
  const extensions = reader.left === 0 ? Buffer.alloc(0) : reader.vector(2)
  reader.end()
  if (version < 0x0303) throw new TlsFlaw('refused', `the server speaks ${versionName(version)} and nothing newer`)
  if (version !== 0x0303) malformed(`the server chose the version 0x${version.toString(16)}`)
  if (compression !== 0) malformed('the server chose a compression that was not offered')
  const again = random.equals(retryRandom)
  const newer = again || offersVersions(extensions)
  if (newer) return readNewer(extensions, suite, sessionId, again, offer)
  if (downgrade.equals(random.subarray(24, 31)) && (random[31] === 0 || random[31] === 1))
    unproven('the server says that it can do TLS 1.3, and TLS 1.2 was chosen: somebody in between changed the offer')
  if (sessionId.length > 32) malformed('a session id that is too long')
  if (sessionId.equals(offer.sessionId)) malformed('the server resumes a session that there never was')
  const known = suites12.get(suite)
  if (known === undefined) unsupported(`the server chose the cipher suite 0x${suite.toString(16)}`)
  const { keyKind, name } = offer.wanted
  const allowed = name === undefined ? allowed12 : [...allowed12, extension.serverName]
  const found = readExtensions(extensions, allowed, 'the ServerHello')
  // RFC 6066 sections 3 and 8, RFC 7627 section 5.1.
  const { serverName, statusRequest, extendedMasterSecret } = extension
  expectEmpty(found, [serverName, statusRequest, extendedMasterSecret], 'the ServerHello')
  // RFC 5746 section 3.4: of a first handshake it is empty.
  const renegotiation = found.get(extension.renegotiationInfo)
  if (renegotiation && !renegotiation.equals(Buffer.of(0))) malformed('the server renegotiates what never was')
  if (keyKind !== undefined && known.kind !== keyKind)
    malformed(`the server chose ${known.name}, which was not offered`)
  return {
    version: 'TLSv1.2',
    suite: known,
    random,
    extensions: found,
  }
}

function readNewer(bytes: Buffer, suiteId: number, sessionId: Buffer, again: boolean, offer: Offer): ServerHello {
  const name = again ? 'the HelloRetryRequest' : 'the ServerHello'
  const allowed = [extension.supportedVersions, extension.keyShare, ...(again ? [extension.cookie] : [])]
  const extensions = readExtensions(bytes, allowed, name)
  const version = extensions.get(extension.supportedVersions)
  if (version?.length !== 2 || version.readUInt16BE(0) !== 0x0304)
    malformed(`${name} chooses no version that was offered`)
  if (!sessionId.equals(offer.sessionId)) malformed(`${name} gives another session id back`)
  const suite = suites13.get(suiteId)
  if (suite === undefined)
    malformed(`the server chose the cipher suite 0x${suiteId.toString(16)}, which was not offered`)
  const body = extensions.get(extension.keyShare)
  if (again) {
    const cookie = extensions.get(extension.cookie)
    const group = body === undefined ? undefined : new Reader(body, 'the key share')
    const asked = group?.uint16()
    group?.end()
    return { version: 'again', suite, group: asked, cookie: cookie && readCookie(cookie) }
  }
  if (body === undefined) return malformed('the ServerHello has no key share')
  const share = new Reader(body, 'the key share')
  const group = share.uint16()
  const key = share.vector(2)
  share.end()
  return { version: 'TLSv1.3', suite, group, share: key }
}

/** OpenSSL's own are some 300 bytes. */
const cookieBytesMax = 8_192

function readCookie(body: Buffer): Buffer {
  const reader = new Reader(body, 'the cookie')
  const cookie = reader.vector(2)
  reader.end()
  if (cookie.length === 0) malformed('an empty cookie')
  // It goes back in one record, beside what we offer.
  if (cookie.length > cookieBytesMax) unsupported(`a cookie of ${cookie.length} bytes`)
  return cookie
}

/** Whether the extension of TLS 1.3 is there; they are read again, each with what its version allows. */
function offersVersions(bytes: Buffer): boolean {
  const reader = new Reader(bytes, 'the ServerHello')
  while (reader.left > 0) {
    if (reader.uint16() === extension.supportedVersions) return true
    reader.vector(2)
  }
  return false
}

function versionName(version: number): string {
  return version === 0x0300 ? 'SSL 3.0' : version < 0x0300 ? 'SSL 2.0' : `TLS 1.${version - 0x0301}`
}
