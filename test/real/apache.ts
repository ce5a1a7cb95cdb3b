import { chmod, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import { bodyOf, type RunningService, type TlsSite } from './service.ts'

export interface ApacheOptions extends Endpoint {
  readonly sites: readonly TlsSite[]
  /** Expect the PROXY protocol on the port. */
  readonly proxyProtocol?: boolean
  /** Directives for each virtual host. */
  readonly siteLines?: readonly string[]
  /** Directives of the whole server, such as `Include`, and the modules that they need. */
  readonly mainLines?: readonly string[]
  readonly modules?: readonly string[]
}

const modules = '/usr/lib/apache2/modules'

export async function startApache(options: ApacheOptions): Promise<RunningService> {
  const { address, port } = await chooseEndpoint(options)
  const directory = await makeDirectory('apache')
  const configuration = join(directory, 'apache.conf')
  const pidFile = join(directory, 'apache.pid')
  const logFile = join(directory, 'error.log')
  for (const site of options.sites) {
    const pages = join(directory, site.names[0])
    await mkdir(pages)
    await writeFile(join(pages, 'index.html'), bodyOf(site))
    // Workers run as www-data, whatever the umask of the test is.
    await chmod(pages, 0o755)
    await chmod(join(pages, 'index.html'), 0o644)
  }
  await writeFile(configuration, text(options, { address, port, directory, pidFile, logFile }))
  const apache = ['/usr/sbin/apache2', '-d', directory, '-f', configuration] as const
  const argv = [...apache, '-D', 'FOREGROUND'] as const
  const running = await startProgram({ argv, address, port, directory, pidFile, logFile })
  return {
    ...running,
    configuration,
    start: [...apache, '-k', 'start'],
    test: [...apache, '-t'],
    reload: [...apache, '-k', 'graceful'],
  }
}

interface Place {
  readonly address: string
  readonly port: number
  readonly directory: string
  readonly pidFile: string
  readonly logFile: string
}

function text(
  { sites, proxyProtocol, siteLines = [], mainLines = [], modules: further = [] }: ApacheOptions,
  { address, port, directory, pidFile, logFile }: Place,
): string {
  const loaded = [
    'mpm_event',
    'alias',
    'authz_core',
    'dir',
    'proxy',
    'proxy_http',
    'remoteip',
    'rewrite',
    'ssl',
    ...further,
  ].map((name) => `LoadModule ${name}_module ${modules}/mod_${name}.so`)
  return `${loaded.join('\n')}
ServerName localhost
DefaultRuntimeDir ${directory}
PidFile ${pidFile}
ErrorLog ${logFile}
Mutex file:${directory}
User www-data
Group www-data
Listen ${address}:${port}
SSLSessionCache none
DirectoryIndex index.html
StartServers 1
ServerLimit 2
${sites
  .map(
    (site) => `<VirtualHost ${address}:${port}>
  ServerName ${site.names[0]}
  ${site.names.length > 1 ? `ServerAlias ${site.names.slice(1).join(' ')}` : ''}
  DocumentRoot ${join(directory, site.names[0])}
  ${proxyProtocol ? 'RemoteIPProxyProtocol On' : ''}
  SSLEngine on
  SSLCertificateFile ${site.chain}
  SSLCertificateKeyFile ${site.key}
  ${siteLines.join('\n  ')}
</VirtualHost>`,
  )
  .join('\n')}
${mainLines.join('\n')}
`
}
