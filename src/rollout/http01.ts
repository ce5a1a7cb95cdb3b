import { createServer, type Server as HttpServer } from 'node:http'
import { asOnecertError, fail, OnecertError, quote, withOthers } from '../base/errors.ts'
import { inLanes } from '../base/lanes.ts'
import type { Http01Settings, Server } from '../fleet/fleet.ts'
import { listening } from '../issue/listening.ts'
import type { Solver, TokenChallenge } from '../issue/solver.ts'
import type { Ledger } from '../ledger/ledger.ts'
import { fetchAt } from '../observe/http.ts'
import { type Connection, closeAll } from '../reach/connection.ts'
import { expectOk } from './conversation.ts'

/** An address of a name that a CA may come to. */
export interface Door {
  /** For messages: the server's name, or what stands before the servers. */
  readonly name: string
  readonly address: string
}

export interface Http01Tools {
  readonly lineage: string
  /** The servers that traffic for a name comes to in the end. */
  readonly serversOf: (name: string) => readonly Server[]
  /** Where it may come in. */
  readonly doorsOf: (name: string) => readonly Door[]
  readonly connect: (server: Server) => Promise<Connection>
  readonly ledger: Ledger
  /** Something that is not as it should be, and does not stop us. */
  readonly notice: (text: string) => void
}

const parallel = 16
const lookTimeoutMs = 10_000
const answerCharactersMax = 80

/**
 * http-01 (RFC 8555 section 8.3) for a name with many servers: the CA may come to any of them, so the answer is on all, and
 * was seen at each address, before the CA is told. Close it at the end.
 */
export function http01(settings: Http01Settings, tools: Http01Tools): Solver & AsyncDisposable {
  const place = placeOf(settings, tools)
  return {
    type: 'http-01',
    fits: (name) => tools.doorsOf(name).length > 0,
    async present(challenge: TokenChallenge, signal) {
      if (tools.doorsOf(challenge.name).length === 0) {
        fail('CHALLENGE_NO_SERVER', {
          what: `no server answers for ${challenge.name}`,
          fact: 'no site of the fleet file has this name, so http-01 cannot prove it',
          state: 'nothing was put anywhere',
          next: `add a site ${challenge.name}, or use dns-01`,
        })
      }
      const missing = await place.put(challenge, signal)
      await lookEverywhere(challenge, settings.port, missing, tools, signal)
    },
    remove: (challenge: TokenChallenge) => place.take(challenge),
    [Symbol.asyncDispose]: () => place.close(),
  }
}

/** Where answers are put. */
interface Place {
  /** @returns why, by server, for those that cannot be reached; null where none is spoken to */
  put(challenge: TokenChallenge, signal: AbortSignal): Promise<ReadonlyMap<string, OnecertError> | null>
  take(challenge: TokenChallenge): Promise<void>
  close(): Promise<void>
}

function placeOf(settings: Http01Settings, tools: Http01Tools): Place {
  switch (settings.kind) {
    case 'webroot':
      return webroots(tools)
    case 'listen':
      return listener(settings)
    case 'stateless':
      return { put: async () => null, take: async () => {}, close: async () => {} }
  }
}

/** The answer as a file below the webroot of each server. One connection a server, for all names. */
function webroots({ lineage, serversOf, connect, ledger }: Http01Tools): Place {
  const connections = new Map<string, Promise<Connection>>()
  const connection = (server: Server) => {
    const known = connections.get(server.name) ?? connect(server)
    connections.set(server.name, known)
    known.catch(() => connections.delete(server.name))
    return known
  }
  const ask = async (server: Server, verb: 'answer' | 'unanswer', words: readonly string[]) => {
    const opened = await connection(server)
    await ledger.effect({ effect: verb, lineage, server: server.name }, async () =>
      expectOk(
        await opened.request(verb, [lineage, ...words]),
        verb === 'answer'
          ? `putting the challenge answer on ${server.name}`
          : `taking the challenge answer from ${server.name}`,
        'what is served was not touched',
      ),
    )
  }
  return {
    async put({ name, token, keyAuthorization }, signal) {
      const unreachable = new Map<string, OnecertError>()
      await inLanes(serversOf(name), parallel, async (server) => {
        signal.throwIfAborted()
        await ask(server, 'answer', [token, keyAuthorization]).catch((thrown: unknown) => {
          const error = asOnecertError(thrown)
          if (error.exit !== 69) throw error
          unreachable.set(server.name, error)
        })
      })
      return unreachable
    },
    async take({ name, token }) {
      await inLanes(serversOf(name), parallel, (server) => ask(server, 'unanswer', [token]))
    },
    async close() {
      await closeAll(connections.values())
    },
  }
}

/** Answered by ourselves: the servers pass on to us what they are asked. */
function listener({ address, listenPort }: Http01Settings & { readonly kind: 'listen' }): Place {
  const answers = new Map<string, string>()
  let server: Promise<HttpServer> | null = null
  const start = () => {
    const http = createServer((incoming, outgoing) => {
      const [, token = ''] = /^\/\.well-known\/acme-challenge\/([A-Za-z0-9_-]+)$/.exec(incoming.url ?? '') ?? []
      const answer = answers.get(token)
      outgoing.writeHead(answer === undefined ? 404 : 200, {
        'content-type': 'application/octet-stream',
        connection: 'close',
      })
      outgoing.end(answer ?? 'onecert has no such challenge\n')
    })
    return listening(http, { address, port: listenPort }, 'http-01')
  }
  return {
    async put({ token, keyAuthorization }) {
      answers.set(token, keyAuthorization)
      server ??= start()
      await server
      return null
    },
    async take({ token }) {
      answers.delete(token)
    },
    async close() {
      const running = await server?.catch(() => null)
      running?.closeAllConnections()
      running?.close()
    },
  }
}

/**
 * The answer as a CA would find it, at each address. A server that is down in every way is no reason not to renew, as long
 * as another one answers: the CA may come to it in vain, and is then asked again.
 */
async function lookEverywhere(
  { name, token, keyAuthorization }: TokenChallenge,
  port: number,
  unreachable: ReadonlyMap<string, OnecertError> | null,
  { doorsOf, notice }: Http01Tools,
  signal: AbortSignal,
): Promise<void> {
  const wrong: OnecertError[] = []
  const down: string[] = []
  let right = 0
  await inLanes(doorsOf(name), parallel, async (door) => {
    const where = `${door.name} (${door.address}:${port})`
    const url = `http://${name}${port === 80 ? '' : `:${port}`}/.well-known/acme-challenge/${token}`
    try {
      const page = await fetchAt(url, { address: door.address, timeoutMs: lookTimeoutMs, signal })
      if (page.status === 200 && page.body.trim() === keyAuthorization) right += 1
      else {
        wrong.push(
          notServed(
            where,
            name,
            `it answered ${page.status} "${quote(page.body.trim().replace(/\s+/g, ' '), answerCharactersMax)}"${page.url === url ? '' : `, from ${quote(page.url, 120)}`}`,
            unreachable?.get(door.name),
          ),
        )
      }
    } catch (thrown) {
      signal.throwIfAborted()
      const error = asOnecertError(thrown)
      if (error.code === 'INTERNAL') throw error
      down.push(door.name)
      wrong.push(notServed(where, name, error.failure.fact ?? error.failure.what, unreachable?.get(door.name)))
    }
  })
  const [first, ...also] = wrong
  if (!first) return
  if (
    right > 0 &&
    down.length === wrong.length &&
    down.every((each) => unreachable === null || unreachable.has(each))
  ) {
    for (const each of wrong) notice(`${each.failure.what}: ${each.failure.fact}; the others do`)
    return
  }
  throw withOthers(first, also)
}

function notServed(where: string, name: string, fact: string, unreachable: OnecertError | undefined): OnecertError {
  return new OnecertError('CHALLENGE_NOT_SERVED', {
    what: `${where} does not answer the http-01 challenge for ${name}`,
    fact: unreachable ? `${fact}; and ${unreachable.failure.what}` : fact,
    state:
      'the CA was not told to look; what was put on the servers is taken away again, and what is served was not touched',
    next: 'docs/guides/acme.md says what the server needs; then: onecert apply',
  })
}
