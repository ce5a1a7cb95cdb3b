import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { OnecertError, quote } from '../base/errors.ts'
import type { Connection, OpenOptions, Reach } from './connection.ts'
import { childEnvironment } from './environment.ts'
import { speak } from './protocol.ts'
import { bootstrap } from './receiver.ts'

const stderrCharactersMax = 4_096
const endTimeoutMs = 10_000

/** This machine: the receiver as a child process, its text handed over as it is over ssh. */
export const localReach: Reach = {
  async open(server, { receiver, timeoutMs }: OpenOptions): Promise<Connection> {
    // A process group of its own: Ctrl-C in the terminal is for us, and we end the receiver in order.
    const child = spawn('/bin/sh', ['-c', `exec ${bootstrap(receiver.text)}`], {
      env: childEnvironment(),
      stdio: ['pipe', 'pipe', 'pipe'],
      detached: true,
    })
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(-stderrCharactersMax)
    })
    const gone = new Promise<void>((resolve) => {
      child.on('exit', () => resolve())
      child.on('error', () => resolve())
    })
    const spoken = await speak({
      server: server.name,
      receiverId: receiver.id,
      stdin: child.stdin,
      stdout: child.stdout,
      greetingTimeoutMs: timeoutMs,
      async explain() {
        return new OnecertError('RECEIVER_SILENT', {
          what: `the receiver for ${server.name} ended or does not answer on this machine`,
          fact: quote(stderr.trim().split('\n').at(-1) || 'it said nothing', 200),
          next: 'onecert apply',
        })
      },
      async end() {
        child.stdin.end()
        const timer = setTimeout(() => child.kill(), endTimeoutMs)
        await gone
        clearTimeout(timer)
        child.stdout.destroy()
        child.stderr.destroy()
      },
    })
    return {
      ...spoken,
      way: 'local',
      forward: async (address, port) => connect({ host: address, port }),
      forwardsForbidden: () => false,
    }
  },
}
