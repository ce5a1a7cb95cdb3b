import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import { bodyOf, type RunningService, type TlsSite } from './service.ts'

export interface NginxOptions extends Endpoint {
  readonly sites: readonly TlsSite[]
  /** Expect the PROXY protocol on the port. */
  readonly proxyProtocol?: boolean
  /** Directives for each server block, such as `ssl_protocols TLSv1.2;`. */
  readonly serverLines?: readonly string[]
  /** Directives at the top level, such as a `stream` block. */
  readonly mainLines?: readonly string[]
}

export async function startNginx(options: NginxOptions): Promise<RunningService> {
  const { address, port } = await chooseEndpoint(options)
  const directory = await makeDirectory('nginx')
  const configuration = join(directory, 'nginx.conf')
  const pidFile = join(directory, 'nginx.pid')
  const logFile = join(directory, 'error.log')
  await writeFile(configuration, text(options, { address, port, pidFile, logFile }))
  // -e: else it opens /var/log/nginx/error.log before it has read where its log is.
  const start = ['/usr/sbin/nginx', '-p', `${directory}/`, '-e', logFile, '-c', configuration] as const
  const argv = [...start, '-g', 'daemon off;'] as const
  const running = await startProgram({ argv, address, port, directory, pidFile, logFile })
  return { ...running, configuration, start, test: [...start, '-t'], reload: [...start, '-s', 'reload'] }
}

interface Place {
  readonly address: string
  readonly port: number
  readonly pidFile: string
  readonly logFile: string
}

function text({ sites, proxyProtocol, serverLines = [], mainLines = [] }: NginxOptions, place: Place): string {
  const listen = `${place.address}:${place.port} ssl${proxyProtocol ? ' proxy_protocol' : ''}`
  return `worker_processes 1;
pid ${place.pidFile};
error_log ${place.logFile} notice;
${mainLines.join('\n')}
events { worker_connections 1024; }
http {
  access_log off;
${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `  ${kind}_temp_path temp-${kind};`).join('\n')}
${sites
  .map(
    (site) => `  server {
    listen ${listen};
    server_name ${site.names.join(' ')};
    ssl_certificate ${site.chain};
    ssl_certificate_key ${site.key};
    ${serverLines.join('\n    ')}
    location / { default_type text/plain; return 200 "${bodyOf(site)}"; }
  }`,
  )
  .join('\n')}
}
`
}
