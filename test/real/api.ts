import { once } from 'node:events'
import { readFile, rm } from 'node:fs/promises'
import type { IncomingHttpHeaders } from 'node:http'
import { createServer } from 'node:https'
import type { ApiEndpoint } from '../../src/issue/dns/provider/https.ts'
import { writeCertificate } from './certificate.ts'
import { chooseEndpoint, makeDirectory } from './running.ts'

export interface ApiRequest {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface ApiResponse {
  readonly status: number
  readonly body: string
  readonly headers?: Readonly<Record<string, string>>
}

export interface RunningApi extends AsyncDisposable {
  readonly api: ApiEndpoint
  readonly requests: readonly ApiRequest[]
}

/** An HTTP API over TLS at localhost; null: it says nothing at all. */
export async function startApi(answer: (request: ApiRequest) => ApiResponse | null, path = ''): Promise<RunningApi> {
  const directory = await makeDirectory('api')
  const files = await writeCertificate(directory, ['localhost'])
  const trust = await readFile(files.chain, 'utf8')
  const { address, port } = await chooseEndpoint({ address: '127.0.0.1' })
  const requests: ApiRequest[] = []
  const server = createServer({ cert: trust, key: await readFile(files.key) }, async (incoming, response) => {
    let body = ''
    for await (const text of incoming.setEncoding('utf8')) body += text
    const url = new URL(incoming.url ?? '/', `https://${incoming.headers.host}`)
    const request = { method: incoming.method ?? '', url, headers: incoming.headers, body }
    requests.push(request)
    const given = answer(request)
    if (given !== null) response.writeHead(given.status, given.headers).end(given.body)
  })
  server.listen(port, address)
  await once(server, 'listening')
  return {
    api: { endpoint: `https://localhost:${port}${path}`, trust, timeoutMs: 2_000 },
    requests,
    async [Symbol.asyncDispose]() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
      await rm(directory, { recursive: true })
    },
  }
}
