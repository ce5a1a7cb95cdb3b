import { createHash } from 'node:crypto'
import type { Solver, TokenChallenge } from '../solver.ts'
import { writtenName } from './delegation.ts'
import { type PropagationSettings, untilPublished } from './propagation.ts'
import type { DnsProvider, TxtRecord } from './provider/provider.ts'

export interface Dns01Settings extends PropagationSettings {
  /** Of a removal, which nobody waits for; default: 1 minute. */
  readonly removeTimeoutMs?: number
}

const removeTimeoutDefaultMs = 60_000

/** The dns-01 challenge (RFC 8555 section 8.4). */
export function dns01(provider: DnsProvider, settings: Dns01Settings): Solver {
  return {
    type: 'dns-01',
    async present(challenge: TokenChallenge, signal) {
      const record = await recordOf(challenge, settings, signal)
      await provider.add(record, signal)
      await untilPublished(record, settings, signal)
    },
    async remove(challenge: TokenChallenge) {
      const signal = AbortSignal.timeout(settings.removeTimeoutMs ?? removeTimeoutDefaultMs)
      await provider.remove(await recordOf(challenge, settings, signal), signal)
    },
  }
}

async function recordOf(challenge: TokenChallenge, settings: Dns01Settings, signal: AbortSignal): Promise<TxtRecord> {
  const name = await writtenName(`_acme-challenge.${challenge.name}`, settings.resolver, signal)
  return { name, value: createHash('sha256').update(challenge.keyAuthorization).digest('base64url') }
}
