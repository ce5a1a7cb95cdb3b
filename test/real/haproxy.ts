import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { chooseEndpoint, type Endpoint, makeDirectory, startProgram } from './running.ts'
import { bodyOf, type RunningService } from './service.ts'

export interface HaproxyOptions extends Endpoint {
  readonly sites: readonly CombinedSite[]
  /** Expect the PROXY protocol on the port. */
  readonly proxyProtocol?: boolean
  /** Lines of the frontend. */
  readonly frontendLines?: readonly string[]
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
  const directory = await makeDirectory('haproxy')
  const configuration = join(directory, 'haproxy.cfg')
  const pidFile = join(directory, 'haproxy.pid')
  const socket = join(directory, 'admin.sock')
  const reload = join(directory, 'reload')
  await writeFile(configuration, text(options, { address, port, socket }))
  // As systemd's unit does: the check first, then USR2 to the master, whose pid only the pid file knows.
  await writeFile(
    reload,
    `#!/bin/sh\nset -e\n/usr/sbin/haproxy -c -q -f ${configuration}\nkill -USR2 "$(cat ${pidFile})"\n`,
    { mode: 0o755 },
  )
  const haproxy = ['/usr/sbin/haproxy', '-f', configuration] as const
  const argv = [...haproxy, '-p', pidFile, '-W'] as const
  const running = await startProgram({ argv, address, port, directory, pidFile })
  return {
    ...running,
    configuration,
    socket,
    start: [...argv, '-D'],
    test: [...haproxy, '-c'],
    reload: [reload],
  }
}

interface Place {
  readonly address: string
  readonly port: number
  readonly socket: string
}

function text({ sites, proxyProtocol, frontendLines = [] }: HaproxyOptions, { address, port, socket }: Place): string {
  const certificates = sites.map(({ combined }) => `crt ${combined}`).join(' ')
  const answers = sites.map((site) => {
    const names = site.names.map((name) => `{ ssl_fc_sni -i ${name} }`).join(' || ')
    return `  http-request return status 200 content-type text/plain string "${bodyOf(site).trim()}\\n" if ${names}`
  })
  return `global
  stats socket ${socket} mode 600 level admin
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 5s
  timeout http-request 10s
frontend tls
  bind ${address}:${port} ssl ${certificates}${proxyProtocol ? ' accept-proxy' : ''}
  ${frontendLines.join('\n  ')}
${answers.join('\n')}
  http-request return status 404
`
}
