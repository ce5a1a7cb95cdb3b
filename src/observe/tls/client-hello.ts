import { randomFillSync } from 'node:crypto'
import type { KeyKind } from '../../fleet/fleet.ts'
import { extension } from './extensions.ts'
import { firstGroup, groups } from './groups.ts'
import { offeredForCertificates, offeredSchemes } from './signatures.ts'
import { offeredSuites } from './suites.ts'

export interface Wanted {
  /** Sent as SNI; absent: none is sent. */
  readonly name?: string | undefined
  /** Certificates of this kind only. */
  readonly keyKind?: KeyKind | undefined
  /** Application protocols (RFC 7301), the preferred one first; empty: the extension is not sent. */
  readonly alpn?: readonly string[]
}

/** A ClientHello, and what it offered. */
export interface Offer {
  readonly wanted: Wanted
  readonly random: Buffer
  /** RFC 8446 appendix D.4: sent so that middleboxes take it for TLS 1.2. It names no session. */
  readonly sessionId: Buffer
  /** The handshake message. */
  readonly message: Buffer
  /** The second one, where the server asks for another key share (RFC 8446 section 4.1.2). */
  again(group: number, cookie: Buffer | undefined): Buffer
}

const nothing = Buffer.alloc(0)

const randomAt = 4 + 2
const sessionIdAt = randomAt + 32 + 1

export function makeOffer(wanted: Wanted): Offer {
  const message = addressed(templateFor(wanted), wanted.name)
  fillRandom(message, randomAt)
  fillRandom(message, sessionIdAt)
  return {
    wanted,
    random: message.subarray(randomAt, randomAt + 32),
    sessionId: message.subarray(sessionIdAt, sessionIdAt + 32),
    message,
    again(group, cookie) {
      const second = addressed(helloFor(wanted, group, cookie), wanted.name)
      message.copy(second, randomAt, randomAt, sessionIdAt + 32)
      return second
    },
  }
}

/** First hellos without a random number and without a name: one for each kind and ALPN. */
const templates = new Map<string, Template>()

function templateFor(wanted: Wanted): Template {
  const key = `${wanted.keyKind} ${wanted.alpn}`
  const known = templates.get(key)
  if (known !== undefined) return known
  const template = helloFor(wanted, firstGroup, undefined)
  templates.set(key, template)
  return template
}

/** A hello of a length from 256 to 511 bytes is what some old balancers never answer (RFC 7685 section 1). */
const swallowed = { from: 256, below: 512 } as const

/** With the name, and as long as every server reads it. */
function addressed({ bytes, extensionsAt }: Template, name: string | undefined): Buffer {
  const named = name === undefined ? nothing : serverName(name)
  const length = bytes.length + named.length
  const missing = length >= swallowed.from && length < swallowed.below ? Math.max(4, swallowed.below - length) : 0
  const message = Buffer.alloc(length + missing)
  bytes.copy(message)
  named.copy(message, bytes.length)
  if (missing > 0) {
    message.writeUInt16BE(extension.padding, length)
    message.writeUInt16BE(missing - 4, length + 2)
  }
  message.writeUIntBE(message.length - 4, 1, 3)
  message.writeUInt16BE(message.length - extensionsAt - 2, extensionsAt)
  return message
}

/** Random bytes in stock, each used once: a call for 32 costs more than to copy them a hundred times. */
const stock = Buffer.alloc(8_192)
let used = stock.length

function fillRandom(message: Buffer, at: number): void {
  if (used === stock.length) {
    randomFillSync(stock)
    used = 0
  }
  stock.copy(message, at, used, used + 32)
  used += 32
}

interface Template {
  readonly bytes: Buffer
  /** Where the length of the extensions stands; they go to the end. */
  readonly extensionsAt: number
}

/** RFC 8446 section 4.1.2, with zeros where the random numbers and both lengths go. */
function helloFor({ keyKind, alpn = [] }: Wanted, group: number, cookie: Buffer | undefined): Template {
  const extensions = [
    extensionOf(extension.supportedVersions, vector(1, uint16s([0x0304, 0x0303]))),
    extensionOf(extension.supportedGroups, vector(2, uint16s([...groups.keys()]))),
    extensionOf(extension.signatureAlgorithms, vector(2, uint16s(offeredSchemes(keyKind)))),
    // RFC 8422 section 5.1.2: uncompressed. RFC 7627 and RFC 5746: some servers insist on them.
    extensionOf(extension.pointFormats, vector(1, Buffer.from([0]))),
    extensionOf(extension.extendedMasterSecret, nothing),
    extensionOf(extension.renegotiationInfo, Buffer.from([0])),
    // RFC 6066 section 8: OCSP, no responders, no extensions.
    extensionOf(extension.statusRequest, Buffer.from([1, 0, 0, 0, 0])),
    extensionOf(extension.signedCertificateTimestamps, nothing),
    keyShare(group),
  ]
  // RFC 8446 section 4.2.3: else the kind would be that of its CA's key too, and many an ECDSA key is certified by an RSA one.
  if (keyKind !== undefined) {
    const all = vector(2, uint16s(offeredForCertificates()))
    extensions.push(extensionOf(extension.certificateSignatureAlgorithms, all))
  }
  if (alpn.length > 0) {
    const protocols = alpn.map((each) => vector(1, Buffer.from(each, 'latin1')))
    extensions.push(extensionOf(extension.alpn, vector(2, Buffer.concat(protocols))))
  }
  if (cookie !== undefined) extensions.push(extensionOf(extension.cookie, vector(2, cookie)))
  const before = Buffer.concat([
    // ClientHello, its length, legacy_version 3.3, random, a session id of 32 bytes, suites, no compression.
    Buffer.from([1, 0, 0, 0, 3, 3]),
    Buffer.alloc(32),
    vector(1, Buffer.alloc(32)),
    vector(2, uint16s(offeredSuites(keyKind))),
    Buffer.from([1, 0]),
  ])
  return { bytes: Buffer.concat([before, vector(2, Buffer.concat(extensions))]), extensionsAt: before.length }
}

function keyShare(group: number): Buffer {
  const share = groups.get(group)?.share() ?? nothing
  return extensionOf(extension.keyShare, vector(2, Buffer.concat([uint16s([group]), vector(2, share)])))
}

/** RFC 6066 section 3: a host name. */
function serverName(name: string): Buffer {
  return extensionOf(
    extension.serverName,
    vector(2, Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name, 'latin1'))])),
  )
}

function extensionOf(type: number, body: Buffer): Buffer {
  return Buffer.concat([uint16s([type]), vector(2, body)])
}

function vector(lengthBytes: 1 | 2, body: Buffer): Buffer {
  const length = Buffer.alloc(lengthBytes)
  length.writeUIntBE(body.length, 0, lengthBytes)
  return Buffer.concat([length, body])
}

function uint16s(values: readonly number[]): Buffer {
  const bytes = Buffer.alloc(2 * values.length)
  for (const [at, value] of values.entries()) bytes.writeUInt16BE(value, 2 * at)
  return bytes
}
