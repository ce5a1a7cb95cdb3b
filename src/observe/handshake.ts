import type { Carrier } from './carrier.ts'
import { contact, type HandshakeOptions } from './contact.ts'
import { type Endpoint, serverNameOf } from './endpoint.ts'
import { bothFailed, explain } from './failure.ts'
import { greetByNode, readObserved, trustingNothing } from './node-tls.ts'
import type { Observed } from './served.ts'
import { startClient } from './tls/client.ts'
import type { Seen } from './tls/dialogue.ts'
import { TlsFlaw } from './tls/flaw.ts'
import { fingerprintOf } from './tls/leaf.ts'

/**
 * One fresh TLS handshake (1.2 or 1.3, never resumed), up to the proof that the server holds the private key: its signature
 * over what was said here and now. Nothing is trusted and nothing is fetched: judging what was served is the caller's.
 *
 * It is our own (observe/tls). What that cannot do or read is tried again with node:tls, and the observation says so.
 * @throws OnecertError PROBE_REFUSED, PROBE_TIMEOUT, PROBE_NO_STARTTLS, PROBE_NOT_TLS, PROBE_UNPROVEN, PROBE_FAILED
 */
export async function handshake(endpoint: Endpoint, options: HandshakeOptions): Promise<Observed> {
  const { timeoutMs, signal } = options
  const startedMs = performance.now()
  const untilMs = startedMs + timeoutMs
  const told = (error: unknown) => explain(error, endpoint, Math.round(performance.now() - startedMs))
  try {
    return await contact(endpoint, options, untilMs, 'pieces', (carrier, done, refuse) =>
      greetOurselves(carrier, endpoint, done, refuse),
    )
  } catch (error) {
    signal?.throwIfAborted()
    if (!(error instanceof TlsFlaw && error.mayGetFurther)) throw told(error)
    const tls = { secureContext: trustingNothing(endpoint.keyKind) }
    return await contact<Observed>(endpoint, options, untilMs, 'stream', ({ stream }, done, refuse) =>
      greetByNode(stream, endpoint, tls, (socket) => readObserved(socket, error.message), done, refuse),
    ).catch((again: unknown) => {
      signal?.throwIfAborted()
      throw bothFailed(told(error), told(again))
    })
  }
}

/** Offered where it may be HTTP: a server whose protocols are others refuses, and is asked again by node:tls without. */
const alpn = ['h2', 'http/1.1']

function greetOurselves(
  { stream, listen }: Carrier,
  endpoint: Endpoint,
  done: (observed: Observed) => void,
  refuse: (error: unknown) => void,
): void {
  const { keyKind, starttls } = endpoint
  const client = startClient({ name: serverNameOf(endpoint), keyKind, alpn: starttls === undefined ? alpn : [] })
  let over = false
  listen((piece) => {
    if (over) return
    try {
      const { send, seen } = client.receive(piece)
      if (send !== null) stream.write(send)
      if (seen === null) return
      over = true
      done(observed(seen))
    } catch (error) {
      over = true
      refuse(error)
    }
  })
  stream.write(client.hello)
}

function observed({ chain: certificates, fingerprint, leaf, ...seen }: Seen): Observed {
  const { notAfterMs, subject, spki } = leaf
  const chain = [fingerprint, ...certificates.slice(1).map(fingerprintOf)]
  return { chain, certificates, notAfterMs, subject, spki, way: 'own', wayReason: null, ...seen }
}
