import type { Clock } from '../../../base/clock.ts'
import { exchangeTimeoutMs } from '../../../dns/exchange.ts'
import { readTsigKey } from '../../../dns/key-file.ts'
import { parseNameServer } from '../../../dns/resolver.ts'
import type { TsigAlgorithm } from '../../../dns/tsig.ts'
import { type Change, sendUpdate, type UpdateTarget, zoneAtServer } from '../../../dns/update.ts'
import { type DnsProvider, type TxtRecord, txtTtlS } from './provider.ts'

export interface Rfc2136Settings {
  /** The primary: `address`, `address:port` or `[address]:port`. */
  readonly server: string
  /** Default: asked of the server. */
  readonly zone?: string
  readonly keyFile: string
  /** Needed where the key file holds only the secret, or several keys. */
  readonly keyName?: string
  readonly algorithm?: TsigAlgorithm
  /** Of each try. */
  readonly timeoutMs?: number
}

/** A name server that takes dynamic updates: BIND, Knot, PowerDNS, Windows with TSIG, and others. */
export function rfc2136(settings: Rfc2136Settings, clock: Clock): DnsProvider {
  const { keyFile: file, keyName, algorithm, timeoutMs = exchangeTimeoutMs } = settings
  const server = parseNameServer(settings.server)
  const change = async (act: Change['act'], record: TxtRecord, signal: AbortSignal) => {
    // Read each time: a key that was replaced is used from then on.
    const key = await readTsigKey({ file, ...(keyName && { keyName }), ...(algorithm && { algorithm }) })
    const target: UpdateTarget = { server, key, clock, timeoutMs }
    const zone = settings.zone ?? (await zoneAtServer(record.name, target, signal))
    await sendUpdate({ zone, act, record: { ...record, type: 'TXT', ttlS: txtTtlS } }, target, signal)
  }
  return {
    add: (record, signal) => change('add', record, signal),
    remove: (record, signal) => change('remove', record, signal),
  }
}
