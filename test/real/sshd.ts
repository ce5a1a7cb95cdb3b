import { execFile } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { chooseEndpoint, type Endpoint, makeDirectory, type Running, startProgram } from './running.ts'

const run = promisify(execFile)

export type HostKeyType = 'ed25519' | 'ecdsa' | 'rsa'

export interface SshdOptions extends Endpoint {
  /** Default: ed25519. */
  readonly hostKeyTypes?: readonly HostKeyType[]
  /** Private key of a CA that signs the host keys for the names; the server then shows certificates too. */
  readonly hostCertificates?: { readonly authority: string; readonly names: readonly string[] }
  /** Put before the client key in authorized_keys, such as `restrict,command="…"`. */
  readonly keyOptions?: string
  /** Shell commands run before it in a mount namespace of its own: what is mounted there, nobody else sees. */
  readonly mounts?: string
  /** The account to log in with; default: the one of the test. */
  readonly user?: string
  /** Lines of sshd_config. They come first, and sshd takes the first value it reads. */
  readonly lines?: readonly string[]
}

export interface HostKey {
  readonly type: HostKeyType
  /** `SHA256:…` */
  readonly fingerprint: string
  /** Type and base64, as in known_hosts. */
  readonly publicKey: string
  readonly file: string
}

export interface RunningSshd extends Running {
  readonly user: string
  readonly hostKeys: readonly HostKey[]
  /** Private key that is let in, without a passphrase; `.pub` beside it. */
  readonly clientKey: string
  /** Read anew at each login. */
  readonly authorizedKeys: string
  readonly configuration: string
  /** Reads configuration and host keys again. */
  readonly reload: readonly string[]
}

export async function startSshd(options: SshdOptions = {}): Promise<RunningSshd> {
  const { address, port } = await chooseEndpoint(options)
  const directory = await makeDirectory('sshd')
  const configuration = join(directory, 'sshd_config')
  const pidFile = join(directory, 'sshd.pid')
  const authorizedKeys = join(directory, 'authorized_keys')
  const clientKey = join(directory, 'client')
  const hostKeys = await Promise.all((options.hostKeyTypes ?? ['ed25519']).map((type) => makeHostKey(directory, type)))
  await makeKey(clientKey, 'ed25519')
  const publicKey = await readFile(`${clientKey}.pub`, 'utf8')
  await writeFile(authorizedKeys, options.keyOptions ? `${options.keyOptions} ${publicKey}` : publicKey, {
    mode: 0o644,
  })
  const certificates = await signHostKeys(hostKeys, options.hostCertificates)
  await writeFile(configuration, text(options, { address, port, pidFile, authorizedKeys, hostKeys, certificates }))
  // The privilege-separated child has its root there; systemd makes it at the start of the service.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true, mode: 0o755 })
  const sshd = ['/usr/sbin/sshd', '-D', '-e', '-f', configuration] as const
  const argv =
    options.mounts === undefined
      ? sshd
      : (['unshare', '--mount', 'sh', '-ec', `${options.mounts}\nexec "$@"`, 'sh', ...sshd] as const)
  const running = await startProgram({ argv, address, port, directory, pidFile })
  const reload = ['/bin/kill', '-HUP', String(running.pid)]
  return {
    ...running,
    user: options.user ?? userInfo().username,
    hostKeys,
    clientKey,
    authorizedKeys,
    configuration,
    reload,
  }
}

interface Place {
  readonly address: string
  readonly port: number
  readonly pidFile: string
  readonly authorizedKeys: string
  readonly hostKeys: readonly HostKey[]
  readonly certificates: readonly string[]
}

/**
 * StrictModes: the keys lie below /tmp, which everybody may write to. SetEnv: bash reads ~/.bashrc for a command that comes
 * by ssh, and what the account of a test has in it is none of the server's.
 */
function text({ lines = [], mounts }: SshdOptions, place: Place): string {
  return `${lines.join('\n')}
${mounts === undefined ? `SetEnv HOME=${dirname(place.authorizedKeys)}` : ''}
ListenAddress ${place.address}:${place.port}
${place.hostKeys.map(({ file }) => `HostKey ${file}`).join('\n')}
${place.certificates.map((file) => `HostCertificate ${file}`).join('\n')}
PidFile ${place.pidFile}
AuthorizedKeysFile ${place.authorizedKeys} .ssh/authorized_keys
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
`
}

async function makeHostKey(directory: string, type: HostKeyType): Promise<HostKey> {
  const file = join(directory, `host_${type}`)
  await makeKey(file, type)
  const [kind, base64] = (await readFile(`${file}.pub`, 'utf8')).split(' ')
  const { stdout } = await run('ssh-keygen', ['-l', '-E', 'sha256', '-f', `${file}.pub`])
  return { type, file, publicKey: `${kind} ${base64}`, fingerprint: stdout.split(' ')[1] ?? '' }
}

async function makeKey(file: string, type: HostKeyType): Promise<void> {
  await run('ssh-keygen', ['-q', '-t', type, '-N', '', '-C', 'test', '-f', file])
}

async function signHostKeys(keys: readonly HostKey[], by: SshdOptions['hostCertificates']): Promise<string[]> {
  if (by === undefined) return []
  const principals = by.names.join(',')
  const publicFiles = keys.map(({ file }) => `${file}.pub`)
  await run('ssh-keygen', [
    '-q',
    '-s',
    by.authority,
    '-I',
    'server',
    '-h',
    '-n',
    principals,
    '-V',
    '-5m:+1d',
    ...publicFiles,
  ])
  return keys.map(({ file }) => `${file}-cert.pub`)
}
