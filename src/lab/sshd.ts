import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Place } from './topology.ts'

const run = promisify(execFile)

export type HostKeyType = 'ed25519' | 'ecdsa' | 'rsa'

export interface HostKey {
  readonly type: HostKeyType
  /** `SHA256:…` */
  readonly fingerprint: string
  /** Type and base64, as in known_hosts. */
  readonly publicKey: string
  readonly file: string
}

export interface SshdSettings extends Place {
  readonly hostKeys: readonly HostKey[]
  readonly authorizedKeys: string
  /** HOME of what it runs; null: the account's own. */
  readonly home: string | null
  /** They come first, and sshd takes the first value it reads. */
  readonly lines?: readonly string[]
}

export interface SshdFiles {
  readonly configuration: string
  readonly argv: readonly [string, ...string[]]
  readonly pidFile: string
}

/**
 * Writes an sshd_config that lets the running account log in by key, whether it is root or not.
 *
 * StrictModes: the keys lie below /tmp, which everybody may write to. SetEnv: bash reads ~/.bashrc for a command that comes
 * by ssh, and what the account has in it is none of the server's.
 */
export async function writeSshd(directory: string, settings: SshdSettings): Promise<SshdFiles> {
  const { address, port, hostKeys, authorizedKeys, home, lines = [] } = settings
  const configuration = join(directory, 'sshd_config')
  const pidFile = join(directory, 'sshd.pid')
  await writeFile(
    configuration,
    `${lines.join('\n')}
${home === null ? '' : `SetEnv HOME=${home}`}
ListenAddress ${address}:${port}
${hostKeys.map(({ file }) => `HostKey ${file}`).join('\n')}
PidFile ${pidFile}
AuthorizedKeysFile ${authorizedKeys} .ssh/authorized_keys
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 1000
MaxSessions 100
LoginGraceTime 30
LogLevel VERBOSE
`,
  )
  // The privilege-separated child has its root there; systemd makes it at the start of the service.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
  return { configuration, argv: ['/usr/sbin/sshd', '-D', '-e', '-f', configuration], pidFile }
}

export async function makeHostKey(directory: string, type: HostKeyType): Promise<HostKey> {
  const file = join(directory, `host_${type}`)
  await makeKey(file, type)
  const [kind, base64] = (await readFile(`${file}.pub`, 'utf8')).split(' ')
  const { stdout } = await run('ssh-keygen', ['-l', '-E', 'sha256', '-f', `${file}.pub`])
  return { type, file, publicKey: `${kind} ${base64}`, fingerprint: stdout.split(' ')[1] ?? '' }
}

/** A private key without a passphrase; `.pub` beside it. */
export async function makeKey(file: string, type: HostKeyType): Promise<void> {
  await run('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', 'lab', '-f', file])
}
