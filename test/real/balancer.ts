import { connect } from 'node:net'
import { writeHaproxy } from '../../src/lab/haproxy.ts'
import { writeNginx } from '../../src/lab/nginx.ts'
import { chooseEndpoint, makeDirectory, startProgram } from './running.ts'
import type { RunningService } from './service.ts'

export interface BalancedMember {
  /** HAProxy's name of it. */
  readonly name: string
  readonly address: string
  readonly port: number
}

export interface RunningHaproxyBalancer extends RunningService {
  readonly socket: string
  readonly backend: string
  /** What the Runtime API answers to a line. */
  tell(command: string): Promise<string>
  /** `UP`, `DRAIN`, `MAINT`, `DOWN`, … by the members' names. */
  states(): Promise<Record<string, string>>
}

/** HAProxy that passes TLS through, with the header of PROXY v2 where its members expect one, and looks after their health. */
export async function startHaproxyBalancer(
  members: readonly BalancedMember[],
  {
    proxyProtocol = true,
    checks = true,
    nameless,
  }: {
    readonly proxyProtocol?: boolean
    readonly checks?: boolean
    /** Who gets the connections whose hello names no host. */
    readonly nameless?: { readonly address: string; readonly port: number }
  } = {},
): Promise<RunningHaproxyBalancer> {
  const { address, port } = await chooseEndpoint({})
  const directory = await makeDirectory('balancer')
  const backend = 'be_www'
  const servers = members.map(
    (each) =>
      `  server ${each.name} ${each.address}:${each.port}${checks ? ' check inter 100ms' : ''}${proxyProtocol ? ' send-proxy-v2' : ''}`,
  )
  const haproxy = await writeHaproxy(
    directory,
    `frontend tls
  mode tcp
  bind ${address}:${port}
${
  nameless
    ? `  tcp-request inspect-delay 5s
  tcp-request content accept if { req.ssl_hello_type 1 }
  use_backend nameless if !{ req.ssl_sni -m found }
`
    : ''
}  default_backend ${backend}
backend ${backend}
  mode tcp
  balance roundrobin
${servers.join('\n')}
${nameless ? `backend nameless\n  mode tcp\n  server other ${nameless.address}:${nameless.port}\n` : ''}`,
  )
  const tell = (command: string) => runtimeApi(haproxy.socket, command)
  return {
    ...haproxy,
    ...(await startProgram({ ...haproxy, address, port, directory })),
    backend,
    tell,
    async states() {
      const rows = (await tell(`show stat ${backend} 4 -1`)).trim().split('\n').slice(1)
      return Object.fromEntries(rows.map((row) => [row.split(',')[1], row.split(',')[17]]))
    },
  }
}

/** nginx that passes TLS through, with the header of PROXY v1: nobody can tell it anything while it runs. */
export async function startStreamBalancer(members: readonly BalancedMember[]): Promise<RunningService> {
  const { address, port } = await chooseEndpoint({})
  const directory = await makeDirectory('stream')
  const nginx = await writeNginx(directory, {
    servers: [],
    mainLines: [
      'load_module /usr/lib/nginx/modules/ngx_stream_module.so;',
      `stream {
  upstream members { ${members.map((each) => `server ${each.address}:${each.port};`).join(' ')} }
  server { listen ${address}:${port}; proxy_pass members; proxy_protocol on; }
}`,
    ],
  })
  return { ...nginx, ...(await startProgram({ ...nginx, address, port, directory })) }
}

/** What the Runtime API of an HAProxy answers to a line. */
export function runtimeApi(socket: string, command: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    const api = connect(socket)
    api.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    api.on('error', reject).on('close', () => resolve(said))
    api.setTimeout(5_000, () => api.destroy(new Error(`${socket} says nothing to ${command}`)))
    api.write(`${command}\n`)
  })
}

/** `load-balancer.control` of the fleet file, for a balancer on this machine. */
export function controlOf(
  { socket, backend }: RunningHaproxyBalancer,
  members: readonly BalancedMember[],
  { drainWithin = '5s' } = {},
) {
  return {
    local: true,
    haproxy: {
      socket,
      backend,
      members: Object.fromEntries(members.map(({ name }) => [name.replace(/^s-/, ''), name])),
    },
    'drain-within': drainWithin,
  }
}
