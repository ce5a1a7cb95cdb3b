import { fail, quote } from '../base/errors.ts'
import { lineagesOn } from '../fleet/placement.ts'
import { receiverFor } from '../rollout/receiver.ts'
import { chosenServer } from './choice.ts'
import type { Context } from './context.ts'

/** Gives explicit paths back: plain files with the bytes that are current, where onecert's links were. */
export async function release(context: Context, name: string, timeoutMs: number): Promise<readonly string[]> {
  const server = chosenServer(context.fleet, name)
  const receiver = receiverFor(context.fleet, server)
  const connection = await context
    .reachOf(server)
    .open(server, { receiver, carriesKey: false, timeoutMs, signal: context.signal })
  const paths: string[] = []
  try {
    for (const lineage of lineagesOn(context.fleet, name)) {
      const files = server.files.get(lineage)
      if (!files) continue
      await context.ledger.effect({ effect: 'release', server: name, lineage }, async () => {
        const answer = await connection.request('release', [lineage])
        if (!answer.ok) {
          fail(answer.code ?? 'RECEIVER_PROTOCOL', {
            what: `releasing the files of ${lineage} on ${name} failed`,
            fact: answer.output.map((line) => quote(line, 200)).join('; '),
            state: 'each path is either the link that it was or the plain file',
            next: `onecert server release ${name}`,
          })
        }
      })
      paths.push(...[files.chain, files.key, files.combined].flatMap((path) => path ?? []))
    }
  } finally {
    await connection.close()
  }
  return paths
}
