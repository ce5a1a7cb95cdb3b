import { type IncomingMessage, request as requestHttp } from 'node:http'
import { request as requestHttps } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { fail, OnecertError, quote, systemCode } from '../base/errors.ts'

export interface WebPage {
  readonly status: number
  /** At most `bodyBytesMax` of it. Text from outside. */
  readonly body: string
  /** Where it was found in the end. */
  readonly url: string
}

export interface FetchOptions {
  /** IP address to connect to for the host of the URL, whatever DNS says. */
  readonly address: string
  readonly timeoutMs: number
  readonly signal?: AbortSignal
}

const bodyBytesMax = 4_096
/** As CAs do it (RFC 8555 section 8.3 allows redirects; Boulder follows ten). */
const redirectsMax = 10

/**
 * What a web server at one address answers, redirects followed: those to the same host stay at that address, as a client
 * that resolved the name to it would. Certificates are not judged: a CA does not do it either when it is led to https.
 * @throws OnecertError PROBE_REFUSED, PROBE_TIMEOUT, PROBE_FAILED
 */
export async function fetchAt(url: string, options: FetchOptions): Promise<WebPage> {
  const { hostname } = new URL(url)
  for (let [next, redirects] = [url, 0]; ; redirects++) {
    const pinned = new URL(next).hostname === hostname ? options.address : null
    const page = await fetchOnce(next, pinned, options)
    if (page.location === null) return { status: page.status, body: page.body, url: next }
    if (redirects >= redirectsMax)
      fail('PROBE_FAILED', { what: `${url} at ${options.address} redirects more than ${redirectsMax} times` })
    next = absolute(page.location, next)
  }
}

function absolute(location: string, base: string): string {
  const target = URL.canParse(location, base) ? new URL(location, base) : null
  if (!target || !/^https?:$/.test(target.protocol))
    fail('PROBE_FAILED', { what: `${base} redirects to "${quote(location)}"` })
  return target.href
}

function fetchOnce(
  url: string,
  address: string | null,
  { timeoutMs, signal }: FetchOptions,
): Promise<{ readonly status: number; readonly body: string; readonly location: string | null }> {
  const lookup: LookupFunction = (_, { all }, done) => {
    const family = isIP(address ?? '')
    if (all) done(null, [{ address: address ?? '', family }])
    else done(null, address ?? '', family)
  }
  const request = url.startsWith('https:') ? requestHttps : requestHttp
  return new Promise((resolve, reject) => {
    const outgoing = request(url, {
      agent: false,
      rejectUnauthorized: false,
      headers: { 'user-agent': 'onecert', connection: 'close' },
      signal: signal ? AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]) : AbortSignal.timeout(timeoutMs),
      ...(address !== null && { lookup }),
    })
    outgoing.on('error', (error) => reject(explain(error, url, address, signal)))
    outgoing.on('response', (incoming) => {
      const status = incoming.statusCode ?? 0
      const location = status >= 300 && status < 400 ? (incoming.headers.location ?? null) : null
      read(incoming).then(
        (body) => resolve({ status, body, location }),
        (error) => reject(explain(error, url, address, signal)),
      )
    })
    outgoing.end()
  })
}

async function read(incoming: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  let bytes = 0
  for await (const chunk of incoming as AsyncIterable<Buffer>) {
    chunks.push(chunk)
    bytes += chunk.length
    if (bytes >= bodyBytesMax) break
  }
  return Buffer.concat(chunks).subarray(0, bodyBytesMax).toString('utf8')
}

function explain(error: Error, url: string, address: string | null, signal: AbortSignal | undefined): unknown {
  if (signal?.aborted) return signal.reason
  const { name, message } = error
  const code = systemCode(error)
  const where = `${url}${address === null ? '' : ` at ${address}`}`
  if (code === 'ECONNREFUSED') {
    return new OnecertError('PROBE_REFUSED', { what: `${where} refuses connections`, fact: 'nothing listens there' })
  }
  if (name === 'TimeoutError' || code === 'ABORT_ERR' || ['ETIMEDOUT', 'EHOSTUNREACH', 'ENETUNREACH'].includes(code)) {
    return new OnecertError('PROBE_TIMEOUT', {
      what: `${where} does not answer`,
      ...(code && code !== 'ABORT_ERR' && { fact: code }),
    })
  }
  return new OnecertError('PROBE_FAILED', {
    what: `${where} cannot be read`,
    fact: quote(code ? `${code} ${message}` : message, 160),
  })
}
