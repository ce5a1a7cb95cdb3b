import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Agent, createServer, request } from 'node:https'
import { buffer } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Pebble } from './pebble.ts'
import { chooseEndpoint, type Endpoint } from './running.ts'

export interface AcmeProxyOptions extends Pick<Endpoint, 'port'> {
  /** Name to description, for the directory. Pebble takes no notice of the one in an order. */
  readonly profiles?: Readonly<Record<string, string>>
  /** The answer for a certificate id (RFC 9773 section 4.2); null: 404. Without it the directory has no renewalInfo. */
  readonly renewalInfo?: (certificateId: string) => RenewalAnswer | null
  /** What this CA does otherwise than Pebble, where no fault is due; null: nothing. */
  readonly otherwise?: (seen: Seen) => Promise<Deed | null>
}

export interface RenewalAnswer {
  readonly suggestedWindow: { readonly start: string; readonly end: string }
  readonly explanationURL?: string
  /** Seconds, in the header. */
  readonly retryAfter?: number
}

/** A request that came in. */
export interface Seen {
  readonly method: string
  /** Pebble's: `/dir`, `/nonce-plz`, `/sign-me-up`, `/order-plz`, `/authZ/…`, `/chalZ/…`, `/finalize-order/…`, `/certZ/…`. */
  readonly path: string
  /** Of a JWS; undefined for a POST-as-GET and where there is none. */
  readonly payload?: unknown
  readonly protected?: Readonly<Record<string, unknown>>
  readonly userAgent: string
}

export type Deed =
  /** The request does not get to Pebble; the connection is cut. */
  | { readonly kind: 'cut-before' }
  /** Pebble has done what it was asked for; its answer is lost. */
  | { readonly kind: 'cut-after' }
  /** An answer without asking Pebble. */
  | { readonly kind: 'answer'; readonly status: number; readonly headers?: OutgoingHttpHeaders; readonly body?: string }
  /** The request does not get to Pebble; the connection is reset (RST). */
  | { readonly kind: 'reset' }
  /** The request does not get to Pebble; nothing is answered, and the connection stays. */
  | { readonly kind: 'silent' }
  /** Headers and the first byte of Pebble's answer, then nothing. */
  | { readonly kind: 'stall' }
  /** The request does not get to Pebble; from here on connections are refused, until `clear()`. */
  | { readonly kind: 'refuse' }
  /** An answer that does not end. */
  | { readonly kind: 'endless' }
  /** Pebble's answer, a byte at a time. */
  | { readonly kind: 'drip'; readonly everyMs: number }
  /** Pebble's answer, with other headers or another body. */
  | { readonly kind: 'change'; readonly headers?: OutgoingHttpHeaders; readonly body?: (json: string) => string }

export interface Fault {
  /** Of the requests that it matches… */
  readonly on: (seen: Seen) => boolean
  /** …the n-th from now on, from 1; default 1. */
  readonly nth?: number
  /** How many in a row from there; default 1. */
  readonly times?: number
  readonly deed: Deed
}

export interface AcmeProxy extends AsyncDisposable {
  readonly port: number
  readonly directoryUrl: string
  readonly trust: string
  /** In the order in which they came. */
  readonly seen: readonly Seen[]
  /** Of the faults that are due, the first is done; each counts for itself, also what another one has met. */
  inject(fault: Fault): void
  /** No faults any more; connections are taken again. */
  clear(): Promise<void>
  stop(): Promise<void>
}

export const path = (begin: string) => (seen: Seen) => seen.path.startsWith(begin)
export const unavailable = (retryAfter: number): Deed => ({
  kind: 'answer',
  status: 503,
  headers: { 'Retry-After': retryAfter, 'Content-Type': 'text/html' },
  body: '<h1>Service Unavailable</h1>',
})
export const problem = (type: string, status: number, detail: string, headers: OutgoingHttpHeaders = {}): Deed => ({
  kind: 'answer',
  status,
  headers: { 'Content-Type': 'application/problem+json', ...headers },
  body: JSON.stringify({ type: `urn:ietf:params:acme:error:${type}`, detail, status }),
})
export const rateLimited = (retryAfter: number | string): Deed =>
  problem('rateLimited', 429, 'too many new orders', { 'Retry-After': retryAfter })

/**
 * Stands before Pebble, gives what it lacks (renewal information, profiles) and does the harm that networks and servers
 * do. Pebble makes its URLs from the Host header, and checks those of requests against it: passed on, they are ours.
 */
export async function startAcmeProxy(pebble: Pebble, options: AcmeProxyOptions = {}): Promise<AcmeProxy> {
  const { address, port } = await chooseEndpoint({ ...options, address: pebble.address })
  const agent = new Agent({ keepAlive: true, ca: pebble.trust })
  const faults: { fault: Fault; matched: number }[] = []
  const seen: Seen[] = []

  async function handle(incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> {
    const body = await buffer(incoming)
    const one = readRequest(incoming, body)
    seen.push(one)
    const deed = dueDeed(one) ?? (await options.otherwise?.(one))
    if (deed?.kind === 'cut-before') return cut(incoming)
    if (deed?.kind === 'reset') return void incoming.socket.resetAndDestroy()
    if (deed?.kind === 'silent') return
    if (deed?.kind === 'refuse') return leave()
    if (deed?.kind === 'endless') return flood(outgoing)
    if (deed?.kind === 'answer') {
      outgoing.writeHead(deed.status, deed.headers).end(deed.body)
      return
    }
    const answer = renewalAnswer(one) ?? (await ask(incoming, body))
    if (deed?.kind === 'cut-after') return cut(incoming)
    const headers = { ...answer.headers, ...(deed?.kind === 'change' ? deed.headers : {}) }
    const changed = deed?.kind === 'change' && deed.body ? deed.body(answer.body.toString()) : null
    const bytes = changed === null ? answer.body : Buffer.from(changed)
    // Its length may be another one now.
    delete headers['content-length']
    outgoing.writeHead(answer.status, headers)
    if (deed?.kind === 'stall') return void outgoing.write(bytes.subarray(0, 1))
    if (deed?.kind === 'drip') return drip(outgoing, bytes, deed.everyMs)
    outgoing.end(bytes)
  }

  function dueDeed(one: Seen): Deed | null {
    let due: Deed | null = null
    for (const entry of faults) {
      const { on, nth = 1, times = 1, deed } = entry.fault
      if (!on(one)) continue
      entry.matched += 1
      if (entry.matched >= nth && entry.matched < nth + times) due ??= deed
    }
    return due
  }

  function renewalAnswer({ path: asked }: Seen): Answer | null {
    if (options.renewalInfo === undefined || !asked.startsWith('/renewal-info/')) return null
    const found = options.renewalInfo(asked.slice('/renewal-info/'.length))
    if (found === null) {
      const nothing = { type: 'urn:ietf:params:acme:error:malformed', detail: 'no such certificate', status: 404 }
      return jsonAnswer(404, 'application/problem+json', nothing)
    }
    const { retryAfter, ...document } = found
    const answer = jsonAnswer(200, 'application/json', document)
    return retryAfter === undefined
      ? answer
      : { ...answer, headers: { ...answer.headers, 'retry-after': String(retryAfter) } }
  }

  async function ask({ method, url, headers }: IncomingMessage, body: Buffer): Promise<Answer> {
    const forwarded = request({ host: pebble.address, port: pebble.port, method, path: url, headers, agent })
    forwarded.end(body)
    const [response] = (await once(forwarded, 'response')) as [IncomingMessage]
    const answer = { status: response.statusCode ?? 0, headers: response.headers, body: await buffer(response) }
    return url === '/dir' ? { ...answer, body: withExtensions(answer.body) } : answer
  }

  function withExtensions(body: Buffer): Buffer {
    const directory = JSON.parse(body.toString()) as { meta?: object }
    const { profiles, renewalInfo } = options
    return Buffer.from(
      JSON.stringify({
        ...directory,
        ...(renewalInfo && { renewalInfo: `https://${address}:${port}/renewal-info` }),
        meta: { ...directory.meta, ...(profiles && { profiles }) },
      }),
    )
  }

  const [cert, key] = await Promise.all([readFile(pebble.tls.certificate), readFile(pebble.tls.key)])
  const server = createServer({ cert, key }, (incoming, outgoing) => {
    // Whoever cut the connection sees it.
    handle(incoming, outgoing).catch(() => incoming.socket.destroy())
  })
  const listen = async () => {
    server.listen(port, address)
    await once(server, 'listening')
  }
  const leave = () => {
    if (!server.listening) return
    server.close()
    server.closeAllConnections()
  }
  await listen()
  const stop = async () => {
    agent.destroy()
    const closed = server.listening && once(server, 'close')
    leave()
    await closed
  }
  return {
    port,
    directoryUrl: `https://${address}:${port}/dir`,
    trust: pebble.trust,
    seen,
    inject: (fault) => faults.push({ fault, matched: 0 }),
    async clear() {
      faults.splice(0)
      if (!server.listening) await listen()
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

interface Answer {
  readonly status: number
  readonly headers: OutgoingHttpHeaders
  readonly body: Buffer
}

function jsonAnswer(status: number, type: string, document: unknown): Answer {
  return { status, headers: { 'content-type': type }, body: Buffer.from(JSON.stringify(document)) }
}

function readRequest({ method = '', url = '', headers }: IncomingMessage, body: Buffer): Seen {
  const one = { method, path: url, userAgent: headers['user-agent'] ?? '' }
  if (body.length === 0) return one
  const jws = JSON.parse(body.toString()) as { protected: string; payload: string }
  const decode = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString()) as Record<string, unknown>
  const signed = { ...one, protected: decode(jws.protected) }
  return jws.payload === '' ? signed : { ...signed, payload: decode(jws.payload) }
}

function cut({ socket }: IncomingMessage): void {
  socket.destroy()
}

const floodBytes = Buffer.alloc(64 * 1024, 32)

function* withoutEnd(): Generator<Buffer> {
  while (true) yield floodBytes
}

function flood(outgoing: ServerResponse): Promise<void> {
  outgoing.writeHead(200, { 'Content-Type': 'application/json' })
  return pipeline(withoutEnd, outgoing)
}

async function drip(outgoing: ServerResponse, bytes: Buffer, everyMs: number): Promise<void> {
  for (let at = 0; at < bytes.length && !outgoing.destroyed; at++) {
    outgoing.write(bytes.subarray(at, at + 1))
    await sleep(everyMs)
  }
  outgoing.end()
}
