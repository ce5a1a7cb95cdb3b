import type { Server } from '../fleet/fleet.ts'
import type { Connection, ReceiverText } from '../reach/connection.ts'
import type { Context } from './context.ts'

/** Of opening it, where no option of a command says another time. */
export const connectTimeoutMs = 15_000

/**
 * Works over one connection on which no private key travels, and closes it however the work ends.
 * @throws OnecertError SSH_*, SUDO_*, RECEIVER_*, and what the work throws
 */
export async function withConnection<T>(
  { reachOf, signal }: Pick<Context, 'reachOf' | 'signal'>,
  server: Server,
  receiver: ReceiverText,
  work: (connection: Connection) => Promise<T>,
  timeoutMs = connectTimeoutMs,
): Promise<T> {
  const connection = await reachOf(server).open(server, { receiver, carriesKey: false, timeoutMs, signal })
  try {
    return await work(connection)
  } finally {
    await connection.close()
  }
}
