import { spawnSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chooseEndpoint, makeDirectory, type Running, startProgram } from './running.ts'

export interface BindZone {
  /** `.` is the root. */
  readonly name: string
  /** Lines of the zone file below SOA and NS; names are relative to the zone. */
  readonly records?: readonly string[]
  /** Names and addresses of its name servers; default: `ns1` of the zone, this server. */
  readonly servers?: readonly { readonly name: string; readonly address: string }[]
  /** Who may change it: keys of `keys`. Default: all of them. */
  readonly keys?: readonly string[]
  /** Which records they may change; default: TXT. */
  readonly types?: readonly string[]
  /** A secondary of the server at this port: it looks once a second, and is never notified. */
  readonly primaryPort?: number
}

export interface BindOptions {
  readonly zones: readonly BindZone[]
  readonly keys?: readonly BindKey[]
  /** Follows an alias from one zone into another, as resolvers do; default false. With a root zone it asks nobody else. */
  readonly recursion?: boolean
}

export interface BindKey {
  readonly name: string
  readonly algorithm: string
  /** Base64. */
  readonly secret: string
}

export interface RunningBind extends Running {
  /** `address:port`. */
  readonly server: string
  /** A key as `tsig-keygen` writes it, in a file that only we can read. */
  keyFile(key: BindKey): Promise<string>
}

/**
 * BIND in the foreground: authoritative. It listens on addresses of interfaces only, and 127.0.0.1 is the
 * only one of its kind: several are told apart by their port, or by a relay in front of each.
 */
export async function startBind(options: BindOptions): Promise<RunningBind> {
  const { address, port } = await chooseEndpoint({ address: '127.0.0.1' })
  const directory = await makeDirectory('bind')
  const keys = options.keys ?? []
  const pidFile = join(directory, 'named.pid')
  const configuration = join(directory, 'named.conf')
  await mkdir(join(directory, 'zones'))
  const zones = await Promise.all(
    options.zones.map(async (zone) => {
      const file = join(directory, 'zones', `${zone.name}.zone`)
      if (zone.primaryPort !== undefined) {
        return `zone "${zone.name}" { type secondary; file "${file}"; primaries port ${zone.primaryPort} { ${address}; }; };`
      }
      await writeFile(file, zoneText(zone, address))
      const grants = (zone.keys ?? keys.map(({ name }) => name)).map(
        (name) => `grant "${name}" zonesub ${(zone.types ?? ['TXT']).join(' ')};`,
      )
      const policy = grants.length > 0 ? `update-policy { ${grants.join(' ')} };` : ''
      return `zone "${zone.name}" { type primary; file "${file}"; ${policy} };`
    }),
  )
  const text = [
    'options {',
    `  directory "${directory}"; pid-file "${pidFile}"; session-keyfile none; lock-file none;`,
    `  listen-on port ${port} { ${address}; }; listen-on-v6 { none; };`,
    `  recursion ${options.recursion ? 'yes' : 'no'};`,
    '  dnssec-validation no; notify no; minimal-responses no; allow-transfer { any; };',
    '  min-refresh-time 1; max-refresh-time 1; min-retry-time 1; max-retry-time 1;',
    '};',
    'controls { };',
    ...keys.map(keyStatement),
    ...zones,
  ]
  await writeFile(configuration, text.join('\n'), { mode: 0o600 })
  const running = await startProgram({
    argv: ['/usr/sbin/named', '-g', '-4', '-n', '1', '-c', configuration],
    address,
    port,
    directory,
    pidFile,
  })
  return {
    ...running,
    server: `${address}:${port}`,
    async keyFile(key) {
      const file = join(directory, `${key.name}-${key.algorithm}-${key.secret.slice(0, 4).replace(/\W/g, '_')}.key`)
      await writeFile(file, keyStatement(key), { mode: 0o600 })
      return file
    },
  }
}

/** By nsupdate; updates such as `add NAME 60 TXT "value"`, `delete NAME TXT`. */
export async function updateZone(bind: RunningBind, key: BindKey, ...updates: readonly string[]): Promise<void> {
  const lines = [`server ${bind.address} ${bind.port}`, ...updates.map((each) => `update ${each}`), 'send', '']
  const options = { input: lines.join('\n'), encoding: 'utf8', timeout: 20_000 } as const
  const { status, stderr } = spawnSync('nsupdate', ['-k', await bind.keyFile(key)], options)
  if (status !== 0) throw new Error(`nsupdate: ${stderr}`)
}

function keyStatement({ name, algorithm, secret }: BindKey): string {
  return `key "${name}" {\n\talgorithm ${algorithm};\n\tsecret "${secret}";\n};\n`
}

function zoneText({ name, records = [], servers }: BindZone, address: string): string {
  const chosen = servers ?? [{ name: `ns1.${name}`, address }]
  const glue = chosen.filter((each) => name === '.' || each.name.endsWith(`.${name}`))
  return [
    `$ORIGIN ${name === '.' ? '' : name}.`,
    '$TTL 60',
    `@ SOA ns1 hostmaster 1 1 1 86400 60`,
    ...chosen.map((each) => `@ NS ${each.name}.`),
    ...glue.map((each) => `${each.name}. ${each.address.includes(':') ? 'AAAA' : 'A'} ${each.address}`),
    ...records,
    '',
  ].join('\n')
}
