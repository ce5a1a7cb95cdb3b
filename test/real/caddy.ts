import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { accountIds } from './account.ts'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import { bodyOf, type RunningService, type TlsSite } from './service.ts'

export interface CaddyOptions extends Endpoint {
  readonly sites: readonly TlsSite[]
}

const account = 'caddy'
const program = '/usr/bin/caddy'

/** Runs with the account of the package: the files of the sites have to be readable for it. */
export async function startCaddy(options: CaddyOptions): Promise<RunningService> {
  const { address, port } = await chooseEndpoint(options)
  const admin = await chooseEndpoint({ address })
  const directory = await makeDirectory('caddy')
  const configuration = join(directory, 'Caddyfile')
  const own = join(directory, 'own')
  const pidFile = join(own, 'caddy.pid')
  const sites = options.sites.map(
    (site) => `${site.names.map((name) => `https://${name}:${port}`).join(', ')} {
  bind ${address}
  tls ${site.chain} ${site.key}
  respond "${bodyOf(site).trim()}\\n"
}`,
  )
  await writeFile(
    configuration,
    `{
  admin ${admin.address}:${admin.port}
  auto_https off
  storage file_system ${own}
}
${sites.join('\n')}
`,
  )
  await chmod(configuration, 0o644)
  await mkdir(own)
  const { uid, gid } = await accountIds(account)
  await chown(own, uid, gid)
  const files = ['--config', configuration] as const
  const argv = [program, 'run', ...files, '--pidfile', pidFile] as const
  const asCaddy = ['/usr/sbin/runuser', '-u', account, '--', program] as const
  return {
    ...(await startProgram({ argv, account, address, port, directory, pidFile })),
    configuration,
    settings: { config: configuration },
    test: [...asCaddy, 'validate', ...files],
    reload: [program, 'reload', '--force', ...files],
    start: [...asCaddy, 'start', ...files, '--pidfile', pidFile],
  }
}
