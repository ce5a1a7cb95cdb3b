import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as sleep } from 'node:timers/promises'
import { accepts } from '../../src/lab/program.ts'
import { chooseEndpoint, makeDirectory, type Running, startProgram } from './running.ts'

export interface RunningPowerDns extends Running {
  /** `address:port`. */
  readonly server: string
  readonly apiUrl: string
  readonly apiKey: string
  /** No TXT records any more. */
  clear(zone: string): Promise<void>
}

const schema = '/usr/share/pdns-backend-sqlite3/schema/schema.sqlite3.sql'

interface RecordSet {
  readonly name: string
  readonly type: string
}

/** PowerDNS in the foreground: authoritative, and changed through its HTTP API. */
export async function startPowerDns(zones: readonly string[]): Promise<RunningPowerDns> {
  const { address, port } = await chooseEndpoint({})
  const api = await chooseEndpoint({ address })
  const directory = await makeDirectory('powerdns')
  const database = join(directory, 'zones.sqlite')
  using made = new DatabaseSync(database)
  made.exec(await readFile(schema, 'utf8'))
  const apiKey = 'laboratory'
  const settings = {
    launch: 'gsqlite3',
    'gsqlite3-database': database,
    'local-address': address,
    'local-port': port,
    webserver: 'yes',
    'webserver-address': address,
    'webserver-port': api.port,
    'webserver-allow-from': '127.0.0.0/8',
    api: 'yes',
    'api-key': apiKey,
    'socket-dir': directory,
    // What it was asked a moment ago may be another value now.
    'query-cache-ttl': 0,
    'negquery-cache-ttl': 0,
    'cache-ttl': 0,
    'zone-cache-refresh-interval': 0,
    // It asks its makers otherwise whether it is too old.
    'security-poll-suffix': '',
    'write-pid': 'yes',
  }
  await mkdir(join(directory, 'etc'))
  const lines = Object.entries(settings).map(([name, value]) => `${name}=${value}\n`)
  await writeFile(join(directory, 'etc', 'pdns.conf'), lines.join(''), { mode: 0o600 })
  const running = await startProgram({
    argv: ['/usr/sbin/pdns_server', `--config-dir=${join(directory, 'etc')}`, '--daemon=no', '--guardian=no'],
    address,
    port,
    directory,
    pidFile: join(directory, 'pdns.pid'),
  })
  const apiUrl = `http://${address}:${api.port}`
  const ask = async (method: string, path: string, body?: unknown) => {
    const answer = await fetch(`${apiUrl}/api/v1/servers/localhost/zones${path}`, {
      method,
      headers: { 'X-API-Key': apiKey },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    if (!answer.ok) throw new Error(`PowerDNS: ${method} ${path}: ${answer.status} ${await answer.text()}`)
    return answer
  }
  const makeZones = async () => {
    // It answers DNS before its API listens.
    for (let tries = 0; tries < 500 && !(await accepts(address, api.port)); tries++) await sleep(10)
    for (const zone of zones) await makeZone(zone)
  }
  const makeZone = async (zone: string) => {
    const glue = { name: `ns1.${zone}.`, type: 'A', ttl: 60, records: [{ content: address, disabled: false }] }
    await ask('POST', '', { name: `${zone}.`, kind: 'Native', nameservers: [`ns1.${zone}.`], rrsets: [glue] })
  }
  await makeZones().catch(async (error: unknown) => {
    await running.stop()
    throw error
  })
  return {
    ...running,
    server: `${address}:${port}`,
    apiUrl,
    apiKey,
    async clear(zone) {
      const { rrsets } = (await (await ask('GET', `/${zone}.`)).json()) as { rrsets: RecordSet[] }
      const texts = rrsets.filter(({ type }) => type === 'TXT')
      await ask('PATCH', `/${zone}.`, { rrsets: texts.map((each) => ({ ...each, changetype: 'DELETE' })) })
    },
  }
}
