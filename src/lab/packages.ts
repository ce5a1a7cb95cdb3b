import { existsSync } from 'node:fs'
import { platform } from 'node:os'
import { delimiter, join } from 'node:path'

/** What the real lab starts, and the Debian package that it comes in. */
const programs = [
  { program: '/usr/sbin/nginx', package: 'nginx', reason: 'serves on six servers, and the upstream' },
  { program: '/usr/sbin/haproxy', package: 'haproxy', reason: 'the balancer, and the proxy that ends TLS' },
  { program: '/usr/sbin/sshd', package: 'openssh-server', reason: 'one for each server' },
  { program: 'ssh', package: 'openssh-client', reason: 'how onecert reaches them' },
  { program: 'ssh-keygen', package: 'openssh-client', reason: 'makes their keys' },
  { program: 'setpriv', package: 'util-linux', reason: 'ends them where the demo is killed' },
] as const

/** @throws Error that names the missing packages and the command that installs them */
export function requirePackages(isThere: (program: string) => boolean = onThisMachine): void {
  if (platform() !== 'linux') throw new Error(`the real demo runs on Linux, and this is ${platform()}: npm run demo`)
  const missing = programs.filter(({ program }) => !isThere(program))
  if (missing.length === 0) return
  const lines = missing.map((each) => `  ${each.program.padEnd(18)} ${each.reason} (package ${each.package})`)
  const names = [...new Set(missing.map((each) => each.package))].join(' ')
  throw new Error(
    `the real demo needs programs that are not here:\n${lines.join('\n')}\ninstall them as root, then run it again:\n` +
      `  apt-get update && apt-get install --no-install-recommends ${names}`,
  )
}

function onThisMachine(program: string): boolean {
  if (program.startsWith('/')) return existsSync(program)
  return (process.env.PATH ?? '').split(delimiter).some((directory) => existsSync(join(directory, program)))
}
