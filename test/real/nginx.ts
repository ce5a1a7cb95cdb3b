import { type NginxConfiguration, writeNginx } from '../../src/lab/nginx.ts'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import { bodyOf, type RunningService, type TlsSite } from './service.ts'

export interface NginxOptions extends Endpoint, Pick<NginxConfiguration, 'connectionsMax'> {
  readonly sites: readonly TlsSite[]
  /** Expect the PROXY protocol on the port. */
  readonly proxyProtocol?: boolean
  /** Another process may listen at the same port (SO_REUSEPORT). */
  readonly reuseport?: boolean
  /** Directives for each server block, such as `ssl_protocols TLSv1.2;`. */
  readonly serverLines?: readonly string[]
  /** A plain HTTP server on the same address. */
  readonly http?: { readonly port: number; readonly lines: readonly string[] }
  /** Directives of the `http` block, such as `include`. */
  readonly httpBlockLines?: readonly string[]
  /** Directives at the top level, such as a `stream` block. */
  readonly mainLines?: readonly string[]
}

export async function startNginx(options: NginxOptions): Promise<RunningService> {
  const {
    sites,
    proxyProtocol,
    reuseport,
    http,
    serverLines = [],
    httpBlockLines = [],
    mainLines = [],
    connectionsMax,
  } = options
  const { address, port } = await chooseEndpoint(options)
  const directory = await makeDirectory('nginx')
  const servers = sites.map(
    (site) => `  server {
    listen ${address}:${port} ssl${proxyProtocol ? ' proxy_protocol' : ''}${reuseport ? ' reuseport' : ''};
    server_name ${site.names.join(' ')};
    ssl_certificate ${site.chain};
    ssl_certificate_key ${site.key};
    ${serverLines.join('\n    ')}
    location / { default_type text/plain; return 200 "${bodyOf(site)}"; }
  }`,
  )
  if (http) servers.push(`  server {\n    listen ${address}:${http.port};\n    ${http.lines.join('\n    ')}\n  }`)
  const nginx = await writeNginx(directory, {
    servers: [...servers, ...httpBlockLines.map((line) => `  ${line}`)],
    mainLines,
    ...(connectionsMax !== undefined && { connectionsMax }),
  })
  return { ...nginx, ...(await startProgram({ ...nginx, address, port, directory })) }
}
