import type { Server } from 'node:net'
import { OnecertError, quote, systemCode } from '../base/errors.ts'
import { bracketed } from '../pki/names.ts'
import type { TokenChallenge } from './solver.ts'

/**
 * Listens where a CA is to find the answer to a challenge.
 * @throws OnecertError CHALLENGE_CANNOT_LISTEN
 */
export function listening<Listener extends Server>(
  server: Listener,
  { address, port }: { readonly address: string; readonly port: number },
  challenge: TokenChallenge['type'],
): Promise<Listener> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new OnecertError('CHALLENGE_CANNOT_LISTEN', {
          what: `cannot listen at ${bracketed(address)}:${port} for ${challenge} challenges`,
          fact: systemCode(error) || quote(error.message),
          state: 'the CA was not told to look',
          next: 'end what listens there, or name another address in "listen"',
        }),
      ),
    )
    server.listen(port, address, () => resolve(server))
  })
}
