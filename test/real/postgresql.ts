import { execFile } from 'node:child_process'
import { appendFile, chown, mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { accountIds } from './account.ts'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import type { RunningService } from './service.ts'

const run = promisify(execFile)

export interface PostgresqlOptions extends Endpoint {
  readonly chain: string
  readonly key: string
}

const account = 'postgres'
const name = 'onecert'

/** A cluster as Debian makes them, in a directory of its own; runs with the account of the package. */
export async function startPostgresql({ chain, key, ...endpoint }: PostgresqlOptions): Promise<RunningService> {
  const { address, port } = await chooseEndpoint(endpoint)
  const directory = await makeDirectory('postgresql')
  const [clusters, data, sockets] = ['clusters', 'data', 'sockets'].map((each) => join(directory, each)) as [
    string,
    string,
    string,
  ]
  const { uid, gid } = await accountIds(account)
  for (const each of [clusters, data, sockets]) {
    await mkdir(each)
    await chown(each, uid, gid)
  }
  const version = (await readdir('/usr/lib/postgresql')).sort().at(-1) ?? ''
  const environment = `PG_CLUSTER_CONF_ROOT=${clusters}`
  const logFile = join(directory, 'log')
  const files = ['--datadir', join(data, name), '--socketdir', sockets, '--logfile', logFile, '--port', String(port)]
  await run('env', [environment, 'pg_createcluster', version, name, ...files, '--', '--no-sync', '--auth=trust'])
  const configuration = join(clusters, version, name, 'postgresql.conf')
  await appendFile(
    configuration,
    `listen_addresses = '${address}'
ssl = on
ssl_cert_file = '${chain}'
ssl_key_file = '${key}'
fsync = off
max_connections = 10
shared_buffers = 4MB
`,
  )
  const control = ['/usr/bin/env', environment, '/usr/bin/pg_ctlcluster', version, name] as const
  const argv = [
    `/usr/lib/postgresql/${version}/bin/postgres`,
    '-D',
    join(data, name),
    '-c',
    `config_file=${configuration}`,
  ] as const
  const pidFile = join(data, name, 'postmaster.pid')
  return {
    ...(await startProgram({ argv, account, address, port, directory, pidFile, logFile })),
    configuration,
    test: [],
    reload: [...control, 'reload'],
    start: [...control, 'start'],
    listeners: [{ port, starttls: 'postgres' }],
  }
}
