import { OnecertError, quote, systemCode } from '../base/errors.ts'
import { type Endpoint, endpointText } from './endpoint.ts'
import { type FlawKind, TlsFlaw } from './tls/flaw.ts'

const codes = {
  'not-tls': 'PROBE_NOT_TLS',
  unproven: 'PROBE_UNPROVEN',
  closed: 'PROBE_FAILED',
  alert: 'PROBE_FAILED',
  malformed: 'PROBE_FAILED',
  unsupported: 'PROBE_FAILED',
  refused: 'PROBE_FAILED',
} as const satisfies Record<FlawKind, string>

/** What a person is told of a handshake that failed: PROBE_REFUSED, PROBE_TIMEOUT, PROBE_NOT_TLS, PROBE_UNPROVEN, PROBE_FAILED. */
export function explain(error: unknown, endpoint: Endpoint, elapsedMs: number): OnecertError {
  if (error instanceof OnecertError) return error
  const where = endpointText(endpoint)
  const failed = { what: `the handshake with ${where} failed` }
  if (error instanceof TlsFlaw) {
    const code = codes[error.kind]
    const { what } = {
      PROBE_NOT_TLS: { what: `${where} does not speak TLS` },
      PROBE_UNPROVEN: { what: `${where} does not prove that it holds the key of its certificate` },
      PROBE_FAILED: failed,
    }[code]
    return new OnecertError(code, { what, fact: quote(error.message, 160) })
  }
  const code = systemCode(error)
  const message = error instanceof Error ? error.message : ''
  if (code === 'ECONNREFUSED')
    return new OnecertError('PROBE_REFUSED', { what: `${where} refuses connections`, fact: 'nothing listens there' })
  if (['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code))
    return new OnecertError('PROBE_TIMEOUT', {
      what: `${where} does not answer`,
      fact: `${code} after ${elapsedMs} ms`,
    })
  // Of node:tls.
  if (code === 'ERR_SSL_WRONG_VERSION_NUMBER' || code === 'ERR_SSL_PACKET_LENGTH_TOO_LONG')
    return new OnecertError('PROBE_NOT_TLS', { what: `${where} does not speak TLS`, fact: quote(message) })
  return new OnecertError('PROBE_FAILED', { ...failed, fact: quote(code ? `${code} ${message}` : message, 160) })
}

/** The error of our own handshake, with that of node:tls beside it. */
export function bothFailed(first: OnecertError, again: OnecertError): OnecertError {
  const { fact, what } = again.failure
  return new OnecertError(first.code, {
    ...first.failure,
    fact: quote(`${first.failure.fact}; node:tls, asked for a second opinion: ${fact ?? what}`, 320),
    cause: again,
  })
}
