import { createServer } from 'node:https'
import { createProxyServer } from 'httpxy'
import { textOf } from '../base/errors.ts'
import { loadPair, serveUntilAlone } from './pair.ts'

/**
 * A TLS server that loads the pair of a generation directory, and reloads it on SIGHUP: as services do, a bad pair keeps
 * the old one. It answers by itself or, with UPSTREAM, as a terminating reverse proxy.
 * Arguments: NAME ADDRESS PORT DIRECTORY PIDFILE [UPSTREAM]
 */
const [name = '', address = '', port = '', directory = '', pidFile = '', upstream] = process.argv.slice(2)

const proxy = upstream ? createProxyServer({ target: upstream }) : null
const server = createServer((incoming, answer) => {
  if (!proxy) return void answer.end(`${name} for ${incoming.headers.host}\n`)
  answer.setHeader('via', name)
  proxy.web(incoming, answer).catch(() => {
    answer.statusCode = 502
    answer.end(`${name}: the upstream does not answer\n`)
  })
})

function reload(): void {
  try {
    server.setSecureContext(loadPair(directory))
  } catch (error) {
    // Before its first certificate a server is down, as a real one would be.
    if (server.listening) process.stderr.write(`${name}: keeps what it has: ${textOf(error)}\n`)
    return
  }
  if (!server.listening) server.listen(Number(port), address)
}

serveUntilAlone(pidFile, reload)
reload()
