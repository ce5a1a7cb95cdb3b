import { writeHaproxy } from '../../src/lab/haproxy.ts'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import { bodyOf, type RunningService } from './service.ts'

export interface HaproxyOptions extends Endpoint {
  readonly sites: readonly CombinedSite[]
  /** Expect the PROXY protocol on the port. */
  readonly proxyProtocol?: boolean
  /** Names the certificates in place of `crt` words: `crt-list FILE`, `crt FOLDER`. */
  readonly certificates?: string
  /** Lines of the frontend. */
  readonly frontendLines?: readonly string[]
  /** A second configuration file, or a folder of such. */
  readonly further?: string
}

export interface CombinedSite {
  readonly names: readonly [string, ...string[]]
  /** Leaf, intermediates and key in one file. */
  readonly combined: string
}

export interface RunningHaproxy extends RunningService {
  /** The admin socket of the Runtime API. */
  readonly socket: string
}

export async function startHaproxy(options: HaproxyOptions): Promise<RunningHaproxy> {
  const { address, port } = await chooseEndpoint(options)
  const { sites, further } = options
  const directory = await makeDirectory('haproxy')
  const haproxy = await writeHaproxy(
    directory,
    sites.length === 0 ? '' : frontend(options, `${address}:${port}`),
    further === undefined ? [] : [further],
  )
  return { ...haproxy, ...(await startProgram({ ...haproxy, address, port, directory })) }
}

function frontend({ sites, proxyProtocol, frontendLines = [], ...options }: HaproxyOptions, bind: string): string {
  const certificates = options.certificates ?? sites.map(({ combined }) => `crt ${combined}`).join(' ')
  const answers = sites.map((site) => {
    const names = site.names.map((name) => `{ ssl_fc_sni -i ${name} }`).join(' || ')
    return `  http-request return status 200 content-type text/plain string "${bodyOf(site).trim()}\\n" if ${names}`
  })
  return `frontend tls
  bind ${bind} ssl ${certificates}${proxyProtocol ? ' accept-proxy' : ''}
  ${frontendLines.join('\n  ')}
${answers.join('\n')}
  http-request return status 404
`
}
