import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import { bodyOf, type RunningService, type TlsSite } from './service.ts'

export interface CaddyOptions extends Endpoint {
  readonly sites: readonly TlsSite[]
  /** Directives for each site. */
  readonly siteLines?: readonly string[]
  /** Sites and imports beside `sites`. */
  readonly mainLines?: readonly string[]
}

export async function startCaddy(options: CaddyOptions): Promise<RunningService> {
  const { sites, siteLines = [], mainLines = [] } = options
  const { address, port } = await chooseEndpoint(options)
  const directory = await makeDirectory('caddy')
  const configuration = join(directory, 'Caddyfile')
  const pidFile = join(directory, 'caddy.pid')
  const admin = `unix/${join(directory, 'admin.sock')}`
  const blocks = sites.map(
    (site) =>
      `${site.names.map((name) => `https://${name}:${port}`).join(', ')} {\n\tbind ${address}\n\ttls ${site.chain} ${site.key}\n` +
      `\t${siteLines.join('\n').replaceAll('\n', '\n\t')}\n\trespond "${bodyOf(site).trim()}\\n"\n}`,
  )
  await writeFile(
    configuration,
    `{\n\tadmin ${admin}\n\tstorage file_system ${directory}/storage\n\tauto_https disable_redirects\n}\n${blocks.join('\n')}\n${mainLines.join('\n')}\n`,
  )
  const file = ['--config', configuration, '--adapter', 'caddyfile'] as const
  const argv = ['/usr/bin/caddy', 'run', ...file, '--pidfile', pidFile] as const
  return {
    ...(await startProgram({ argv, address, port, directory, pidFile })),
    configuration,
    start: ['/usr/bin/caddy', 'start', ...file, '--pidfile', pidFile],
    test: ['/usr/bin/caddy', 'validate', ...file],
    reload: ['/usr/bin/caddy', 'reload', ...file, '--address', admin, '--force'],
  }
}
