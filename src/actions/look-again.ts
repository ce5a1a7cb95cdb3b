import type { EndpointSeen, OneLook } from '../audit/served.ts'
import { inLanes } from '../base/lanes.ts'
import { oldProtocolAt } from '../observe/old-protocol.ts'
import { type Looked, lookOnce, parallel, timeoutMs } from './look.ts'

export type LookedAgain = Looked & Pick<EndpointSeen, 'again' | 'oldProtocol'>

/**
 * With the first one: 5. Of two processes that share a port alike, one is missed by 1 audit in 16; what looks again and
 * again finds it.
 */
export const furtherLooks = 4

/**
 * Further connections to each endpoint that answered, in rounds, so that those to one server come apart; and one that
 * offers nothing newer than TLS 1.1. For what can be seen from here.
 */
export async function lookAgain(
  seen: readonly Looked[],
  signal: AbortSignal,
  onLooked: (done: number, of: number) => void,
): Promise<LookedAgain[]> {
  const further = new Map<Looked, OneLook[]>()
  const oldProtocols = new Map<Looked, string | null>()
  for (const each of seen) if (each.served !== null) further.set(each, [])
  const answering = [...further.keys()]
  const of = answering.length * (furtherLooks + 1)
  let done = 0
  for (let round = 0; round < furtherLooks; round++) {
    await inLanes(answering, parallel, async (each) => {
      further.get(each)?.push(await lookOnce(each.endpoint, signal))
      onLooked(++done, of)
    })
  }
  await inLanes(answering, parallel, async (each) => {
    signal.throwIfAborted()
    oldProtocols.set(each, await oldProtocolAt(each.endpoint, { timeoutMs, signal }))
    onLooked(++done, of)
  })
  return seen.map((each) => ({
    ...each,
    again: further.get(each) ?? [],
    oldProtocol: oldProtocols.get(each) ?? null,
  }))
}

/** Connections that showed something; the one for an old version of TLS shows no certificate. */
export function handshakesOf({ served, again = [] }: EndpointSeen): number {
  return [{ served }, ...again].filter((each) => each.served !== null).length
}
