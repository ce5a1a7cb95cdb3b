import { readFileSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createSecureContext, type SecureContextOptions } from 'node:tls'

/** The pair in a generation directory. @throws what OpenSSL says where the two do not belong together */
export function loadPair(directory: string): SecureContextOptions {
  const pair = {
    cert: readFileSync(join(directory, 'fullchain.pem')),
    key: readFileSync(join(directory, 'privkey.pem')),
  }
  createSecureContext(pair)
  return pair
}

/**
 * What every process of the lab does: says its id in a file, reloads on SIGHUP, and ends with whoever started it, whose
 * end closes our stdin.
 */
export function serveUntilAlone(pidFile: string, reload: () => void): void {
  process.on('SIGHUP', reload)
  process.stdin.on('end', () => leave(pidFile)).resume()
  process.on('SIGTERM', () => leave(pidFile))
  writeFileSync(pidFile, `${process.pid}\n`)
}

function leave(pidFile: string): void {
  unlinkSync(pidFile)
  process.exit(0)
}
