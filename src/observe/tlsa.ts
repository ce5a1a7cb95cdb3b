import { OnecertError } from '../base/errors.ts'
import { authorityOf } from '../dns/authority.ts'
import { ask, exchangeTimeoutMs, failureFact } from '../dns/exchange.ts'
import { plainName } from '../dns/message.ts'
import { dnsPort, makeResolver } from '../dns/resolver.ts'
import { type DnsLookSettings, refused } from './dns.ts'

/** RFC 6698 section 2.1. */
export interface TlsaRecord {
  readonly usage: number
  readonly selector: number
  readonly matching: number
  /** Lower hex. */
  readonly data: string
}

/** What one authoritative name server said. */
export interface TlsaSight {
  readonly server: string
  readonly address: string
  readonly records: readonly TlsaRecord[]
  /** Why it told nothing; null: it answered, be it that there is no record. */
  readonly failure: string | null
}

/** Where the records of a name and port stand (RFC 6698 section 3). */
export function tlsaName(name: string, port: number): string {
  return `_${port}._tcp.${plainName(name)}`
}

/**
 * The TLSA records of a name and port at every authoritative server. An alias counts as far as one answer leads.
 * @throws OnecertError DNS_ZONE_NOT_FOUND, DNS_UNREACHABLE where no resolver says which servers are authoritative
 */
export async function lookAtTlsa(
  name: string,
  port: number,
  settings: DnsLookSettings,
  signal: AbortSignal,
): Promise<TlsaSight[]> {
  const { resolvers, authoritativePort = dnsPort, timeoutMs = exchangeTimeoutMs } = settings
  const resolver = makeResolver({ servers: resolvers, timeoutMs })
  const owner = tlsaName(name, port)
  const { servers } = await authorityOf(owner, resolver, signal)
  return Promise.all(
    servers.map(async ({ name: server, address }) => {
      const sight = { server, address, records: [] }
      try {
        const at = { address, port: authoritativePort }
        const answer = await ask(at, { name: owner, type: 'TLSA', recursive: false }, { timeoutMs, signal })
        const records = answer.answers.flatMap((record): TlsaRecord[] => {
          if (record.type !== 'TLSA') return []
          const { usage, selector, matchingType, certificate } = record.data
          return [{ usage, selector, matching: matchingType, data: certificate.toString('hex') }]
        })
        return { ...sight, records, failure: refused(answer, 'authority') }
      } catch (error) {
        if (!(error instanceof OnecertError)) throw error
        return { ...sight, failure: failureFact(error) }
      }
    }),
  )
}
