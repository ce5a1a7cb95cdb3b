import { malformed, TlsFlaw } from './flaw.ts'

/** RFC 8446 section 6 and its predecessors. */
const names: Readonly<Record<number, string>> = {
  0: 'close_notify',
  10: 'unexpected_message',
  20: 'bad_record_mac',
  22: 'record_overflow',
  40: 'handshake_failure',
  42: 'bad_certificate',
  43: 'unsupported_certificate',
  44: 'certificate_revoked',
  45: 'certificate_expired',
  46: 'certificate_unknown',
  47: 'illegal_parameter',
  48: 'unknown_ca',
  49: 'access_denied',
  50: 'decode_error',
  51: 'decrypt_error',
  70: 'protocol_version',
  71: 'insufficient_security',
  80: 'internal_error',
  86: 'inappropriate_fallback',
  90: 'user_canceled',
  109: 'missing_extension',
  110: 'unsupported_extension',
  112: 'unrecognized_name',
  116: 'certificate_required',
  120: 'no_application_protocol',
}

/** With these a server may mean what we offered: another client offers more, and no ALPN. */
const aboutTheOffer: readonly number[] = [10, 40, 47, 50, 70, 71, 80, 109, 110, 120]

const warning = 1
const closeNotify = 0
const unrecognizedName = 112

/**
 * What an alert ends. A warning that the server does not know the name ends nothing (RFC 6066 section 3): it goes on with
 * its default certificate. Behind any other one it may go on as well (RFC 5246 section 7.2.2): node:tls reads on.
 * @param encrypted by the keys of TLS 1.3, where a warning is an error too (RFC 8446 section 6.2)
 * @throws TlsFlaw
 */
export function hearAlert(body: Buffer, encrypted: boolean): void {
  const [level, description] = body
  if (body.length !== 2 || level === undefined || description === undefined) malformed('an alert of a wrong length')
  const name = names[description] ?? `alert ${description}`
  if (level === warning && description !== closeNotify && !encrypted) {
    if (description === unrecognizedName) return
    throw new TlsFlaw('alert', `the server sent the warning ${name}`, true)
  }
  throw new TlsFlaw('alert', `the server ended it with the alert ${name}`, aboutTheOffer.includes(description))
}
