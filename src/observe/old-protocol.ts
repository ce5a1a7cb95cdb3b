import { createSecureContext, type SecureContext } from 'node:tls'
import { OnecertError } from '../base/errors.ts'
import type { HandshakeOptions } from './contact.ts'
import type { Endpoint } from './endpoint.ts'
import { meet } from './node-tls.ts'

let context: SecureContext | undefined

/** SECLEVEL=0: OpenSSL allows the SHA-1 of these versions at no other. */
function onlyOld(): SecureContext {
  context ??= createSecureContext({
    minVersion: 'TLSv1',
    maxVersion: 'TLSv1.1',
    ciphers: 'DEFAULT@SECLEVEL=0',
    ca: [],
  })
  return context
}

/**
 * Whether an endpoint takes TLS 1.0 or 1.1 (RFC 8996: it must not): the newer one that it takes, as OpenSSL names it; null
 * where it refuses, in whatever way. To be asked where a handshake of today succeeded.
 */
export async function oldProtocolAt(endpoint: Endpoint, options: HandshakeOptions): Promise<string | null> {
  try {
    return await meet(endpoint, options, { secureContext: onlyOld() }, (socket) => socket.getProtocol())
  } catch (error) {
    if (error instanceof OnecertError) return null
    throw error
  }
}
