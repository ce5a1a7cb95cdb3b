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
const unrecognizedName = 112

/**
 * What an alert ends. A warning that the server does not know the name ends nothing (RFC 6066 section 3): it goes on with
 * its default certificate.
 * @throws TlsFlaw
 */
export function hearAlert(body: Buffer): void {
  const [level, description] = body
  if (body.length !== 2 || level === undefined || description === undefined) malformed('an alert of a wrong length')
  if (level === warning && description === unrecognizedName) return
  const name = names[description] ?? `alert ${description}`
  throw new TlsFlaw('alert', `the server ended it with the alert ${name}`, aboutTheOffer.includes(description))
}
