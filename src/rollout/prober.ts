import { X509Certificate } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fail, OnecertError } from '../base/errors.ts'
import { type Endpoint, endpointText, serverNameOf } from '../observe/endpoint.ts'
import { handshake } from '../observe/handshake.ts'
import type { Served, Vantage } from '../observe/served.ts'
import { spkiOf } from '../pki/key.ts'
import { bracketed } from '../pki/names.ts'
import type { Connection } from '../reach/connection.ts'

/** One look at an endpoint: what it served, and from where that was seen. */
export type Look = (
  endpoint: Endpoint,
  timeoutMs: number,
) => Promise<{ readonly served: Served; readonly vantage: Vantage }>

/** From here. */
export function lookDirectly(signal?: AbortSignal): Look {
  return async (endpoint, timeoutMs) => ({
    served: await handshake(endpoint, { timeoutMs, ...(signal && { signal }) }),
    vantage: 'direct',
  })
}

/**
 * Through the connection to the server: our own handshake over a forward where that is allowed, else one that the
 * server makes. The first is proof by ourselves; the second is the server's word, and is shown as such.
 */
export function lookThrough(connection: Connection): Look {
  let forwards = true
  return async (endpoint, timeoutMs) => {
    if (forwards) {
      let led = false
      const open = async () => {
        const stream = await connection.forward(endpoint.address, endpoint.port)
        led ||= stream !== null
        return stream
      }
      try {
        return { served: await handshake(endpoint, { timeoutMs, open }), vantage: 'forwarded' }
      } catch (error) {
        if (!(error instanceof OnecertError && error.code === 'PROBE_FAILED')) throw error
        // No forward, or one that is prohibited, ends like a handshake that broke: the server's own look tells them apart.
        if (led && endpoint.proxyProtocol && !(await forbidden(connection))) throw error
      }
      forwards = false
    }
    return { served: await askServer(connection, endpoint, timeoutMs), vantage: 'on-server' }
  }
}

/** ssh says it beside the stream, and maybe a little later. */
async function forbidden(connection: Connection): Promise<boolean> {
  for (let tries = 0; tries < 10 && !connection.forwardsForbidden(); tries++) await sleep(20)
  return connection.forwardsForbidden()
}

async function askServer(connection: Connection, endpoint: Endpoint, timeoutMs: number): Promise<Served> {
  if (endpoint.proxyProtocol) {
    fail('PROBE_FORBIDDEN', {
      what: `${endpointText(endpoint)} can be looked at neither through the connection nor by the server itself`,
      fact: 'its sshd forbids the forward, and openssl, with which it looks itself, cannot send the header of the PROXY protocol',
      next: 'allow the deploy key this one forwarding (docs/guides/ssh.md, permitopen), then: onecert apply',
    })
  }
  const { address, port, starttls } = endpoint
  const answer = await connection.request(
    'probe',
    [`${bracketed(address)}:${port}`, serverNameOf(endpoint) ?? '-', ...(starttls ? [starttls] : [])],
    { timeoutMs: timeoutMs + 15_000 },
  )
  const pem = answer.output.join('\n')
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  const [leaf] = blocks
  if (!answer.ok || leaf === undefined) {
    fail(answer.code === 'SERVER_TOOL_MISSING' ? 'SERVER_TOOL_MISSING' : 'PROBE_FAILED', {
      what: `the handshake with ${endpointText(endpoint)}, made on the server, failed`,
      fact:
        answer.code === 'SERVER_TOOL_MISSING'
          ? 'openssl is not installed there'
          : 'openssl s_client showed no certificate',
    })
  }
  const certificates = blocks.map((block) => new X509Certificate(block))
  const [first] = certificates
  return {
    chain: certificates.map((each) => each.fingerprint256.replaceAll(':', '').toLowerCase()),
    certificates: certificates.map(({ raw }) => raw),
    notAfterMs: Date.parse(first?.validTo ?? ''),
    subject: first?.subject ?? '',
    spki: first ? spkiOf(first.publicKey) : '',
  }
}
