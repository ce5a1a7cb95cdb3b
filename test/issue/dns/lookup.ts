import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { NameServer } from '../../../src/dns/exchange.ts'

const run = promisify(execFile)

/** The TXT values that dig sees at a server. */
export async function digTxt({ address, port }: NameServer, name: string): Promise<string[]> {
  const words = ['+short', '+norecurse', '+tries=1', '+time=5', '-p', String(port), `@${address}`, name, 'TXT']
  const { stdout } = await run('dig', words, { timeout: 20_000 })
  return stdout
    .split('\n')
    .filter((line) => line.startsWith('"'))
    .map((line) => line.replace(/^"(.*)"$/, '$1'))
}
