import { chmod, chown, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { accountIds } from './account.ts'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import { bodyOf, type RunningService, type TlsSite } from './service.ts'

export interface CaddyOptions extends Endpoint {
  readonly sites: readonly TlsSite[]
  /** Directives for each site. */
  readonly siteLines?: readonly string[]
  /** Sites and imports beside `sites`. */
  readonly mainLines?: readonly string[]
  /** With our own account; default: that of the package, for which the files of the sites have to be readable. */
  readonly asOurselves?: boolean
}

const account = 'caddy'
const program = '/usr/bin/caddy'

export async function startCaddy(options: CaddyOptions): Promise<RunningService> {
  const { siteLines = [], mainLines = [], asOurselves = false } = options
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
  ${siteLines.join('\n')}
  respond "${bodyOf(site).trim()}\\n"
}`,
  )
  await writeFile(
    configuration,
    `{
  admin ${admin.address}:${admin.port}
  auto_https ${mainLines.length > 0 ? 'disable_redirects' : 'off'}
  storage file_system ${own}
}
${[...sites, ...mainLines].join('\n')}
`,
  )
  await chmod(configuration, 0o644)
  await mkdir(own)
  const files = ['--config', configuration, '--adapter', 'caddyfile'] as const
  const argv = [program, 'run', ...files, '--pidfile', pidFile] as const
  if (!asOurselves) {
    const { uid, gid } = await accountIds(account)
    await chown(own, uid, gid)
  }
  const asCaddy = asOurselves ? ([program] as const) : (['/usr/sbin/runuser', '-u', account, '--', program] as const)
  return {
    ...(await startProgram({ argv, ...(!asOurselves && { account }), address, port, directory, pidFile })),
    configuration,
    settings: { config: configuration },
    test: [...asCaddy, 'validate', ...files],
    reload: [program, 'reload', '--force', ...files],
    start: [...asCaddy, 'start', ...files, '--pidfile', pidFile],
  }
}
