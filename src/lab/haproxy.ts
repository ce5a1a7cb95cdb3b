import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Software } from './program.ts'

export interface Haproxy extends Software {
  /** The admin socket of the Runtime API. */
  readonly socket: string
}

/**
 * Writes a haproxy.cfg, and the reload that a systemd unit would do, into a directory.
 * @param further more configuration files, or folders of such
 */
export async function writeHaproxy(
  directory: string,
  sections: string,
  further: readonly string[] = [],
): Promise<Haproxy> {
  const configuration = join(directory, 'haproxy.cfg')
  const pidFile = join(directory, 'haproxy.pid')
  const socket = join(directory, 'admin.sock')
  const reload = join(directory, 'reload')
  const files = [configuration, ...further].flatMap((file) => ['-f', file])
  await writeFile(
    configuration,
    `global
  stats socket ${socket} mode 600 level admin
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 5s
  timeout http-request 10s
${sections}`,
  )
  // As systemd's unit does: the check first, then USR2 to the master, whose pid only the pid file knows.
  await writeFile(
    reload,
    `#!/bin/sh\nset -e\n/usr/sbin/haproxy -c -q ${files.join(' ')}\nkill -USR2 "$(cat ${pidFile})"\n`,
    { mode: 0o755 },
  )
  const haproxy = ['/usr/sbin/haproxy', ...files] as const
  const argv = [...haproxy, '-p', pidFile, '-W'] as const
  return { configuration, argv, start: [...argv, '-D'], test: [...haproxy, '-c'], reload: [reload], pidFile, socket }
}
