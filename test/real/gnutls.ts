import { join } from 'node:path'
import type { Running } from './running.ts'
import { startTlsProgram } from './tls-program.ts'

/** It listens at all addresses, so it has a network of its own, with a socket in a folder as the way out, and a listener of loopback before it. */
const script = `
address=$1 port=$2 socket=$3
shift 3
setpriv --pdeathsig KILL unshare ${process.getuid?.() === 0 ? '' : '--map-root-user'} --net --pid --fork --kill-child sh -c '
  socket=$1 port=$2
  shift 2
  ip link set lo up
  "$@" &
  exec socat "UNIX-LISTEN:$socket,fork" "TCP:127.0.0.1:$port,retry=50,interval=0.1"
' sh "$socket" "$port" "$@" &
exec socat "TCP-LISTEN:$port,bind=$address,fork,reuseaddr" "UNIX-CONNECT:$socket,retry=50,interval=0.1"
`

/** GnuTLS's own server. @param options its own, such as --priority */
export function startGnutls(options: readonly string[]): Promise<Running> {
  return startTlsProgram('gnutls-serv', ({ address, port, directory }) => [
    ...['sh', '-c', script, 'sh', address, `${port}`, join(directory, 'socket')],
    ...['gnutls-serv', '--quiet', '--disable-client-cert', '--http', '--port', `${port}`, ...options],
  ])
}
