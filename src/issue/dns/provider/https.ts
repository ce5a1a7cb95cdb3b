import { request } from 'node:https'
import { fail, quote, systemCode, textOf } from '../../../base/errors.ts'

/** Where an HTTP API is. */
export interface ApiEndpoint {
  /** `https://host[:port][/path]`; paths of calls are added to it. */
  readonly endpoint: string
  /** PEM of the CAs that may vouch for it, in place of those that Node knows. */
  readonly trust?: string
  /** Of each call. */
  readonly timeoutMs?: number
}

export interface ApiCall {
  readonly method: 'GET' | 'POST' | 'DELETE'
  /** With its query, beginning with `/`. */
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

export interface ApiAnswer {
  readonly status: number
  readonly body: string
}

const timeoutDefaultMs = 30_000
const bodyBytesMax = 4 * 1024 * 1024

/**
 * One call. A redirection is an answer as any other: a credential goes to the place that was configured and nowhere else.
 * @throws OnecertError DNS_UNREACHABLE, CONFIG_BAD_VALUE; or the reason of the signal
 */
export async function callApi(at: ApiEndpoint, call: ApiCall, signal: AbortSignal): Promise<ApiAnswer> {
  const url = apiUrl(at, call.path)
  const { timeoutMs = timeoutDefaultMs } = at
  const timeout = AbortSignal.timeout(timeoutMs)
  try {
    return await send(url, at, call, AbortSignal.any([signal, timeout]))
  } catch (error) {
    signal.throwIfAborted()
    fail('DNS_UNREACHABLE', {
      what: `${url.host} does not answer`,
      fact: timeout.aborted ? `no whole answer within ${timeoutMs} ms` : quote(systemCode(error) || textOf(error), 200),
      state: 'whether it has done what was asked is not certain; doing it again does no harm',
      next: `check that ${url.host} is reached from here: curl -v ${url.origin}`,
      cause: error,
    })
  }
}

export function apiUrl({ endpoint }: ApiEndpoint, path: string): URL {
  const url = URL.canParse(endpoint) ? new URL(endpoint.replace(/\/$/, '') + path) : null
  if (url?.protocol === 'https:' && url.username === '' && url.password === '') return url
  return fail('CONFIG_BAD_VALUE', {
    what: `${quote(endpoint)} is no endpoint`,
    fact: 'https:// and a host are wanted, without a user',
    next: 'correct it, or leave it out',
  })
}

function send(url: URL, at: ApiEndpoint, call: ApiCall, signal: AbortSignal): Promise<ApiAnswer> {
  return new Promise((resolve, reject) => {
    const body = call.body === undefined ? null : Buffer.from(call.body)
    const sent = request(url, {
      method: call.method,
      headers: { ...call.headers, ...(body && { 'content-length': body.length }) },
      agent: false,
      signal,
      minVersion: 'TLSv1.2',
      ...(at.trust !== undefined && { ca: at.trust }),
    })
    sent.on('error', reject)
    sent.on('response', (response) => {
      const chunks: Buffer[] = []
      let length = 0
      response.on('data', (chunk: Buffer) => {
        length += chunk.length
        if (length > bodyBytesMax) sent.destroy(new Error(`an answer of more than ${bodyBytesMax} bytes`))
        else chunks.push(chunk)
      })
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') }),
      )
    })
    sent.end(body ?? undefined)
  })
}

/** What an API refused, in its own words. 401 and 403: who we are; 429 and 5xx: not now. */
export function apiRefused(host: string, subject: string, status: number, said: string): never {
  const busy = status === 429 || status >= 500
  const denied = status === 401 || status === 403
  fail(busy ? 'DNS_PROVIDER_BUSY' : denied ? 'DNS_REFUSED' : 'DNS_PROVIDER_FAILED', {
    what: `${host} refuses ${subject}`,
    fact: `HTTP status ${status}${said === '' ? '' : `: ${quote(said, 200)}`}`,
    state: 'the record is as it was',
    next: denied
      ? 'check the credential, and that it may change TXT records of this zone'
      : busy
        ? 'try again later'
        : 'see what it says, and correct the settings',
  })
}
