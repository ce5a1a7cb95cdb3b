import { countTimestamps, extension, hasStaple, readExtensions } from './extensions.ts'
import { malformed } from './flaw.ts'
import { Reader } from './reader.ts'

export const certificateType = 11

/** The Certificate message, and what stood beside its leaf. */
export interface Presented {
  /** DER, in the order in which they were sent. */
  readonly chain: readonly [Buffer, ...Buffer[]]
  readonly ocspStaple: boolean
  readonly scts: number
}

const certificatesMax = 32

/** RFC 8446 section 4.4.2. @throws TlsFlaw */
export function readCertificates13(body: Buffer): Presented {
  const reader = new Reader(body, 'the Certificate message')
  if (reader.vector(1).length > 0) malformed('a Certificate message for a request that nobody made')
  const list = new Reader(reader.vector(3), 'the list of certificates')
  reader.end()
  const chain: Buffer[] = []
  let ofLeaf: ReadonlyMap<number, Buffer> = new Map()
  while (list.left > 0) {
    chain.push(list.vector(3))
    const allowed = [extension.statusRequest, extension.signedCertificateTimestamps]
    const extensions = readExtensions(list.vector(2), allowed, 'a certificate')
    if (chain.length === 1) ofLeaf = extensions
  }
  return {
    chain: checked(chain),
    ocspStaple: hasStaple(ofLeaf.get(extension.statusRequest)),
    scts: countTimestamps(ofLeaf.get(extension.signedCertificateTimestamps)),
  }
}

/** RFC 5246 section 7.4.2. @throws TlsFlaw */
export function readCertificates12(body: Buffer): Presented['chain'] {
  const reader = new Reader(body, 'the Certificate message')
  const list = new Reader(reader.vector(3), 'the list of certificates')
  reader.end()
  const chain: Buffer[] = []
  while (list.left > 0) chain.push(list.vector(3))
  return checked(chain)
}

function checked(chain: readonly Buffer[]): Presented['chain'] {
  const [leaf, ...others] = chain
  if (leaf === undefined) return malformed('the server served no certificate')
  if (chain.length > certificatesMax) malformed(`a chain of ${chain.length} certificates`)
  if (!chain.every(isWhole)) malformed('a certificate that is not DER')
  return [leaf, ...others]
}

/** One SEQUENCE, and nothing behind it (X.690 section 8.1.3): all that is looked at in an intermediate. */
function isWhole(der: Buffer): boolean {
  const [tag, short = 0] = der
  if (tag !== 0x30 || der.length < 2) return false
  if (short < 0x80) return der.length === 2 + short
  const bytes = short & 0x7f
  return bytes >= 1 && bytes <= 3 && der.length > 2 + bytes && der.length === 2 + bytes + der.readUIntBE(2, bytes)
}
