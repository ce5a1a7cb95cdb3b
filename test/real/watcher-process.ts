/**
 * Serves the certificate of two files, and reads them again as Envoy or Traefik does (docs/guides/services.md):
 *
 *   envoy    after a move into the watched directory; the pair is read together, and one that does not fit is left alone
 *   traefik  two seconds after anything in its directory; where the pair does not fit, a certificate of its own is served
 */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { createSecureContext, createServer } from 'node:tls'

const [kind, address, port, watched, chain, key, ownChain, ownKey, pidFile] = process.argv.slice(2) as [
  'envoy' | 'traefik',
  ...string[],
]
const throttleMs = 2_000

function read(): { cert: string; key: string } {
  return { cert: readFileSync(chain ?? '', 'utf8'), key: readFileSync(key ?? '', 'utf8') }
}

function fits(pair: { cert: string; key: string }): boolean {
  try {
    createSecureContext(pair)
    return true
  } catch {
    return false
  }
}

const hash = (pair: object) => createHash('sha256').update(JSON.stringify(pair)).digest('hex')
const own = { cert: readFileSync(ownChain ?? '', 'utf8'), key: readFileSync(ownKey ?? '', 'utf8') }
const server = createServer(read(), (socket) => socket.end()).on('tlsClientError', () => {})

function readAgain(): void {
  const pair = read()
  if (kind === 'traefik') server.setSecureContext(fits(pair) ? pair : own)
  else if (hash(pair) === hash(read()) && fits(pair)) server.setSecureContext(pair)
}

const events = kind === 'envoy' ? 'moved_to' : 'create,modify,delete,move,attrib'
const watch = spawn('inotifywait', ['-m', '-e', events, '--format', '%f', watched ?? ''], {
  stdio: ['ignore', 'pipe', 'pipe'],
})
let due = false
createInterface({ input: watch.stdout }).on('line', () => {
  if (kind === 'envoy') return readAgain()
  if (due) return
  due = true
  setTimeout(() => {
    due = false
    readAgain()
  }, throttleMs)
})
createInterface({ input: watch.stderr }).on('line', (line) => {
  if (line.includes('Watches established'))
    server.listen(Number(port), address, () => writeFileSync(pidFile ?? '', String(process.pid)))
})
process.on('SIGTERM', () => {
  watch.kill()
  process.exit(0)
})
