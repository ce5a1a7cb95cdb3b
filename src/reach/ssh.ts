import { execFile, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { fail, OnecertError, systemCode } from '../base/errors.ts'
import type { Machine, SshReach } from '../fleet/fleet.ts'
import { bracketed } from '../pki/names.ts'
import type { Connection, OpenOptions, Reach } from './connection.ts'
import { childEnvironment } from './environment.ts'
import { speak } from './protocol.ts'
import { remoteCommand, type SshAlgorithms, sshArguments } from './ssh-arguments.ts'
import { explainSshFailure, hostKeyRefused, presentedHostKey } from './ssh-failure.ts'

export interface SshSettings {
  /** `-F`: another ssh_config. */
  readonly configFile?: string
}

const stderrCharactersMax = 64 * 1024
const endTimeoutMs = 5_000
/** For what an ssh that has ended still says. */
const lastWordsMs = 2_000
/** Host keys of a server are of at most so many types that matter: Ed25519, ECDSA, RSA. */
const hostKeyTypesMax = 3

/** The system's OpenSSH: one `ssh` process a connection, so ssh_config, ProxyJump, agents and certificates work as ever. */
export function sshReach(settings: SshSettings = {}): Reach {
  return {
    async open(server, options) {
      const reach = sshOf(server)
      const withoutAlgorithms: string[] = []
      for (let first: OnecertError | null = null; ; ) {
        try {
          return await openOnce(server, reach, options, { ...settings, withoutAlgorithms })
        } catch (error) {
          if (!(error instanceof MismatchedHostKey)) throw error
          first ??= error.reason
          // A server has host keys of several types, and the pin may be for another than the one that ssh prefers.
          const other = error.type === null ? [] : algorithmsOf(error.type)
          if (other.length === 0 || withoutAlgorithms.length >= hostKeyTypesMax) throw first
          withoutAlgorithms.push(...other)
        }
      }
    },
  }
}

class MismatchedHostKey extends Error {
  /** Of the key that was presented; null where the server has none of the types that are left. */
  readonly type: string | null
  readonly reason: OnecertError

  constructor(type: string | null, reason: OnecertError) {
    super(reason.message)
    this.type = type
    this.reason = reason
  }
}

function algorithmsOf(type: string): string[] {
  return type === 'ssh-rsa' ? ['rsa-sha2-512', 'rsa-sha2-256', 'ssh-rsa'] : [type]
}

export function sshOf(server: Machine): SshReach {
  if (server.reach.kind !== 'ssh') fail('INTERNAL', { what: `${server.name} is not reached by ssh` })
  return server.reach
}

async function openOnce(
  server: Machine,
  reach: SshReach,
  options: OpenOptions,
  settings: SshSettings & { readonly withoutAlgorithms: readonly string[] },
): Promise<Connection> {
  const socketDirectory = server.probe === 'through-server' ? await mkdtemp(join(tmpdir(), 'onecert-')) : null
  // A socket's path is short, and an address may be long.
  const socketOf = (address: string, port: number) =>
    socketDirectory === null ? null : join(socketDirectory, `${server.addresses.indexOf(address)}-${port}`)
  const startedMs = performance.now()
  const argv = sshArguments(reach, {
    carriesKey: options.carriesKey,
    algorithms: await sshAlgorithms(),
    connectTimeoutMs: options.timeoutMs,
    withoutAlgorithms: settings.withoutAlgorithms,
    ...(settings.configFile && { configFile: settings.configFile }),
    forwards:
      socketDirectory === null
        ? []
        : server.addresses.flatMap((address) =>
            server.listeners.map(({ port }) => `${socketOf(address, port)}:${bracketed(address)}:${port}`),
          ),
  })
  // A process group of its own: Ctrl-C in the terminal is for us, and we end the connection in order.
  const child = spawn('ssh', [...argv, remoteCommand(options.receiver.text, reach, options.sentAlong ?? false)], {
    env: childEnvironment(),
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(0, stderrCharactersMax)
  })
  let spawnError: Error | undefined
  const gone = new Promise<void>((resolve) => {
    child.on('close', () => resolve())
    child.on('error', (error) => {
      spawnError = error
      resolve()
    })
  })
  const end = async () => {
    child.stdin.end()
    const timer = setTimeout(() => child.kill(), endTimeoutMs)
    await gone
    clearTimeout(timer)
    if (socketDirectory) await rm(socketDirectory, { recursive: true, force: true })
  }
  const spoken = await speak({
    server: server.name,
    receiverId: options.receiver.id,
    stdin: child.stdin,
    stdout: child.stdout,
    greetingTimeoutMs: options.timeoutMs + 5_000,
    end,
    async explain() {
      const elapsedMs = performance.now() - startedMs
      const silent = child.exitCode === null && child.signalCode === null && spawnError === undefined
      // Its last words may still be on their way.
      if (!silent || child.stdout.readableEnded)
        await Promise.race([gone, sleep(lastWordsMs, undefined, { ref: false })])
      else child.kill()
      if (spawnError) return missing(spawnError)
      const reason = explainSshFailure({ server, reach, stderr, elapsedMs })
      return silent && !child.stdout.readableEnded && reason.code === 'SSH_LOST'
        ? silentReceiver(server, elapsedMs)
        : reason
    },
  }).catch((error: unknown) => {
    const presented = presentedHostKey(stderr)
    if (
      error instanceof OnecertError &&
      error.code === 'SSH_HOST_KEY_CHANGED' &&
      presented &&
      reach.knownHosts === undefined
    ) {
      throw new MismatchedHostKey(presented.type, error)
    }
    if (
      error instanceof OnecertError &&
      settings.withoutAlgorithms.length > 0 &&
      /no matching host key type/.test(stderr) &&
      !hostKeyRefused(stderr)
    ) {
      throw new MismatchedHostKey(null, error)
    }
    throw error
  })
  return {
    ...spoken,
    way: `ssh ${/^debug1: kex: algorithm: (\S+)/m.exec(stderr)?.[1] ?? 'unknown'}`,
    async forward(address, port) {
      const known = server.addresses.includes(address) && server.listeners.some((each) => each.port === port)
      const socket = known ? socketOf(address, port) : null
      return socket === null ? null : openSocket(socket)
    },
    forwardsForbidden: () => /open failed: administratively prohibited/.test(stderr),
  }
}

/** A forward that the server prohibits shows as a stream that ends at once. */
function openSocket(path: string): Promise<Duplex | null> {
  return new Promise((resolve) => {
    const socket = connect(path)
    socket.once('connect', () => resolve(socket))
    socket.once('error', () => resolve(null))
  })
}

let known: Promise<SshAlgorithms> | undefined

/** What the installed ssh knows, asked once. */
export function sshAlgorithms(): Promise<SshAlgorithms> {
  known ??= askAlgorithms()
  return known
}

async function askAlgorithms(): Promise<SshAlgorithms> {
  const ask = async (question: string) => {
    const { stdout } = await promisify(execFile)('ssh', ['-Q', question], { timeout: 10_000 })
    return stdout.split('\n').filter(Boolean)
  }
  const [keyExchanges, hostKeys] = await Promise.all([
    ask('kex').catch((error: Error) => {
      throw missing(error)
    }),
    ask('HostKeyAlgorithms').catch(() => []),
  ])
  return { keyExchanges, hostKeys }
}

function missing(cause: Error): OnecertError {
  return new OnecertError('SSH_MISSING', {
    what: 'the program ssh cannot be started',
    fact: systemCode(cause) || cause.message,
    state: 'no server was touched',
    next: 'install OpenSSH (Debian: apt-get install openssh-client)',
    cause,
  })
}

function silentReceiver(server: Machine, elapsedMs: number): OnecertError {
  return new OnecertError('RECEIVER_SILENT', {
    what: `${server.name} let us in, but its receiver does not answer`,
    fact: `nothing for ${(elapsedMs / 1000).toFixed(1)} s`,
    state: `what was swapped on ${server.name} and not confirmed undoes itself there`,
    next: `look at ${server.name}, then run the command again`,
  })
}
