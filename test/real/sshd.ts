import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type HostKey, type HostKeyType, makeHostKey, makeKey, writeSshd } from '../../src/lab/sshd.ts'
import { chooseEndpoint, type Endpoint, makeDirectory, type Running, startProgram } from './running.ts'

const run = promisify(execFile)

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
  const authorizedKeys = join(directory, 'authorized_keys')
  const clientKey = join(directory, 'client')
  const hostKeys = await Promise.all((options.hostKeyTypes ?? ['ed25519']).map((type) => makeHostKey(directory, type)))
  await makeKey(clientKey, 'ed25519')
  const publicKey = await readFile(`${clientKey}.pub`, 'utf8')
  await writeFile(authorizedKeys, options.keyOptions ? `${options.keyOptions} ${publicKey}` : publicKey, {
    mode: 0o644,
  })
  const certificates = await signHostKeys(hostKeys, options.hostCertificates)
  const { configuration, argv, pidFile } = await writeSshd(directory, {
    address,
    port,
    hostKeys,
    authorizedKeys,
    home: options.mounts === undefined ? directory : null,
    lines: [...(options.lines ?? []), ...certificates.map((file) => `HostCertificate ${file}`)],
  })
  const mounting = ['unshare', '--mount', 'sh', '-ec', `${options.mounts}\nexec "$@"`, 'sh', ...argv] as const
  const running = await startProgram({
    argv: options.mounts === undefined ? argv : mounting,
    address,
    port,
    directory,
    pidFile,
  })
  return {
    ...running,
    user: options.user ?? userInfo().username,
    hostKeys,
    clientKey,
    authorizedKeys,
    configuration,
    reload: ['/bin/kill', '-HUP', String(running.pid)],
  }
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
