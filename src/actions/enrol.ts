import { fail, OnecertError, quote, retold } from '../base/errors.ts'
import type { Server } from '../fleet/fleet.ts'
import { type Answer, outputText } from '../reach/connection.ts'
import { installedReceiver } from '../reach/receiver.ts'
import { receiverFor } from '../rollout/receiver.ts'
import { chosenServer } from './choice.ts'
import type { Context } from './context.ts'

export interface Enrolled {
  readonly server: string
  readonly receiver: string
  /** SHA-256 of the receiver's text. */
  readonly id: string
  /** The line for authorized_keys: the deploy key can do nothing else there. */
  readonly authorizedKeysLine: string
  /** Where the deploy key was added; null without a deploy key. */
  readonly authorizedKeysFile: string | null
  /** For an account that is not root. */
  readonly sudoersLine: string | null
}

export interface EnrolOptions {
  /** One line of an OpenSSH public key file. */
  readonly deployKey: string | null
  readonly timeoutMs: number
  /** `user@host` in place of the fleet file's: an installed receiver cannot replace itself. */
  readonly as?: string
  /** The client key to go with it. */
  readonly identity?: string
}

const keyLineGrammar = /^(ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/=]+( [\w.@+-]+)?$/

/**
 * Installs the receiver on a server, over a connection that may still do so, and, with a public key, makes it the forced
 * command of that key.
 * @throws OnecertError SSH_*, RECEIVER_OUTDATED where an account was used that may only run the receiver of before
 */
export async function enrol(context: Context, name: string, options: EnrolOptions): Promise<Enrolled> {
  const { deployKey, timeoutMs } = options
  const server = chosenServer(context.fleet, name)
  if (deployKey !== null && !keyLineGrammar.test(deployKey)) {
    fail('USAGE', {
      what: 'the deploy key is not one line of an OpenSSH public key',
      fact: `it begins with "${quote(deployKey, 20)}"`,
      next: 'give the .pub file, such as ~/.ssh/onecert.pub',
    })
  }
  const { reach } = server
  const receiver = receiverFor(context.fleet, server)
  const viaSudo = reach.kind === 'ssh' && reach.sudo
  const account = reach.kind === 'ssh' ? (reach.destination.split('@')[0] ?? 'root') : 'root'
  const command = viaSudo ? `sudo -n ${installedReceiver}` : installedReceiver
  const line = `restrict,command="${command}" ${deployKey ?? '<deploy key>'}`
  const connection = await context
    .reachOf(server)
    .open(connectingAs(server, options), {
      receiver,
      carriesKey: false,
      sentAlong: true,
      timeoutMs,
      signal: context.signal,
    })
    .catch((error: unknown) => {
      throw error instanceof OnecertError && error.code === 'RECEIVER_OUTDATED' ? onlyReceiver(name, error) : error
    })
  try {
    return await context.ledger.effect({ effect: 'enrol', server: name, path: installedReceiver }, async () => {
      demandOk(await connection.request('install', [installedReceiver]), name)
      const added =
        deployKey === null ? null : demandOk(await connection.request('authorize', [], { payload: line }), name)
      return {
        server: name,
        receiver: installedReceiver,
        id: receiver.id,
        authorizedKeysLine: line,
        authorizedKeysFile: added?.get('file') ?? null,
        sudoersLine: viaSudo ? `${account} ALL=(root) NOPASSWD: ${installedReceiver}` : null,
      }
    })
  } finally {
    await connection.close()
  }
}

function connectingAs(server: Server, { as, identity }: EnrolOptions): Server {
  if (server.reach.kind !== 'ssh' || (as === undefined && identity === undefined)) return server
  const { identity: before, sudo, destination, ...reach } = server.reach
  const key = identity ?? (as === undefined ? before : undefined)
  return {
    ...server,
    reach: { ...reach, destination: as ?? destination, sudo: as === undefined && sudo, ...(key && { identity: key }) },
  }
}

function onlyReceiver(server: string, cause: OnecertError): OnecertError {
  return retold(cause, {
    what: `the account used for ${server} may run the receiver that is installed there, and nothing else`,
    next: `connect with an account that is root there: onecert server enrol ${server} --as root@HOST`,
  })
}

function demandOk(answer: Answer, server: string): ReadonlyMap<string, string> {
  if (answer.ok) return answer.facts
  fail(answer.code ?? 'RECEIVER_PROTOCOL', {
    what: `enrolling ${server} failed`,
    fact: outputText(answer, '; ') || `the receiver there answered ${answer.code}`,
    state: 'the receiver that was there, if any, is as it was',
    next: `connect with an account that is root there: onecert server enrol ${server} --as root@HOST`,
  })
}
