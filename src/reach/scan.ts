import { spawn } from 'node:child_process'
import type { Server } from '../fleet/fleet.ts'
import { childEnvironment } from './environment.ts'
import { type SshSettings, sshAlgorithms, sshOf } from './ssh.ts'
import { sshArguments } from './ssh-arguments.ts'
import { explainSshFailure, presentedHostKey } from './ssh-failure.ts'

export interface ScannedHostKey {
  readonly destination: string
  readonly type: string
  readonly fingerprint: string
}

const stderrCharactersMax = 64 * 1024

/**
 * The host key that a server presents, through the same ssh (aliases and ProxyJump work), with no key accepted: ssh ends
 * the connection before it authenticates.
 * @throws OnecertError SSH_*
 */
export async function scanHostKey(
  server: Server,
  { timeoutMs, signal, configFile }: { readonly timeoutMs: number; readonly signal: AbortSignal } & SshSettings,
): Promise<ScannedHostKey> {
  const { knownHosts: _, ...reach } = { ...sshOf(server), hostKeys: [] }
  const startedMs = performance.now()
  const argv = sshArguments(reach, {
    carriesKey: false,
    algorithms: await sshAlgorithms(),
    connectTimeoutMs: timeoutMs,
    withoutAlgorithms: [],
    ...(configFile && { configFile }),
    forwards: [],
  })
  const child = spawn('ssh', argv, {
    env: childEnvironment(),
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: timeoutMs + 5_000,
    signal,
    detached: true,
  })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(0, stderrCharactersMax)
  })
  await new Promise<void>((resolve) => {
    child.on('close', () => resolve())
    child.on('error', () => resolve())
  })
  signal.throwIfAborted()
  const presented = presentedHostKey(stderr)
  if (presented) return { destination: reach.destination, ...presented }
  throw explainSshFailure({ server, reach, stderr, elapsedMs: performance.now() - startedMs })
}
