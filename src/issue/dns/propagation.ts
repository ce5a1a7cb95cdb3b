import type { Clock } from '../../base/clock.ts'
import { fail, OnecertError, quote } from '../../base/errors.ts'
import { type AuthoritativeServer, type Authority, authorityOf } from '../../dns/authority.ts'
import { ask, endpointOf, exchangeTimeoutMs, failureFact } from '../../dns/exchange.ts'
import { rcodeName, txtValue } from '../../dns/message.ts'
import { dnsPort, type Resolver } from '../../dns/resolver.ts'
import type { TxtRecord } from './provider/provider.ts'

export interface PropagationSettings {
  readonly resolver: Resolver
  readonly clock: Clock
  /** How long the name servers may take; default: 3 minutes. */
  readonly withinMs?: number
  /** Between two looks; default: 2 s. */
  readonly pauseMs?: number
  /** Where authoritative servers listen; default: 53. Anything else is for laboratories. */
  readonly authoritativePort?: number
  /** Of each try at each server. */
  readonly timeoutMs?: number
}

const withinDefaultMs = 180_000
const pauseDefaultMs = 2_000
const valuesShownMax = 4
/** What the network says where this machine has no way to an address of that family. */
const noRoute = /\b(ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT)\b/

/** null: what is wanted is among the TXT values of a name; else what is there instead, in words. */
type Wanted = (values: readonly string[]) => string | null

/** A server that does not show what is wanted. */
export interface Lacking {
  readonly server: AuthoritativeServer
  /** Nobody knows whether it does. */
  readonly unreachable: boolean
  readonly fact: string
}

/** What one server shows. */
type Sight =
  | { readonly seen: true }
  | { readonly seen: false; readonly fact: string; readonly unreachable?: true; readonly noRoute?: true }

/**
 * Waits until every authoritative server shows the value: a CA asks any of them, and from several places at once.
 * @throws OnecertError DNS_NOT_PROPAGATED with each server that lacks it, DNS_ZONE_NOT_FOUND, DNS_UNREACHABLE
 */
export async function untilPublished(
  record: TxtRecord,
  settings: PropagationSettings,
  signal: AbortSignal,
): Promise<void> {
  const { clock, withinMs = withinDefaultMs, pauseMs = pauseDefaultMs } = settings
  const untilMs = clock.nowMs() + withinMs
  const authority = await authorityOf(record.name, settings.resolver, signal)
  const wanted: Wanted = (values) => (values.includes(record.value) ? null : otherValues(values))
  for (let waiting = authority.servers; ; ) {
    const lacking = await lookAt(waiting, record.name, wanted, settings, signal)
    if (areEnough(lacking, authority)) return
    if (clock.nowMs() + pauseMs > untilMs) {
      fail('DNS_NOT_PROPAGATED', {
        what: `${lacking.length} of ${authority.servers.length} name servers of ${authority.zone} do not show the TXT record of ${record.name}`,
        fact: lacking.map(sayLacking).join('; '),
        state: `waited ${Math.round(withinMs / 1000)} s for the value ${quote(record.value)}`,
        next: `check that each is reached and gets the zone; see: dig @${lacking[0]?.server.address} ${record.name} TXT +norecurse`,
      })
    }
    await clock.sleep(pauseMs, signal)
    waiting = lacking.map(({ server }) => server)
  }
}

/** One look at each server: those that do not show what is wanted. */
export async function lookAt(
  servers: readonly AuthoritativeServer[],
  name: string,
  wanted: Wanted,
  settings: PropagationSettings,
  signal: AbortSignal,
): Promise<(Lacking & { readonly noRoute: boolean })[]> {
  const sights = await Promise.all(servers.map((server) => look(server, name, wanted, settings, signal)))
  return servers.flatMap((server, at) => {
    const sight = sights[at]
    return sight && !sight.seen ? [{ server, unreachable: false, noRoute: false, ...sight }] : []
  })
}

/** From a machine without IPv6 nobody can say what is there over IPv6; one server at least has to be seen. */
export function areEnough(lacking: readonly { readonly noRoute: boolean }[], { servers }: Authority): boolean {
  return lacking.every(({ noRoute }) => noRoute) && lacking.length < servers.length
}

export function sayLacking({ server, fact }: Lacking): string {
  return `${server.name} (${server.address}): ${fact}`
}

async function look(
  { address }: AuthoritativeServer,
  name: string,
  wanted: Wanted,
  { authoritativePort: port = dnsPort, timeoutMs = exchangeTimeoutMs }: PropagationSettings,
  signal: AbortSignal,
): Promise<Sight> {
  try {
    const answer = await ask({ address, port }, { name, type: 'TXT', recursive: false }, { timeoutMs, signal })
    // RFC 1035 section 4.1.1: without AA it speaks from a cache, or for a zone that it does not have.
    if (!answer.authoritative) {
      return { seen: false, fact: `not authoritative for it (${rcodeName(answer.rcode)}, no AA)` }
    }
    const values = answer.answers.flatMap((record) => txtValue(record) ?? [])
    if (values.length === 0) return { seen: false, fact: `no TXT record (${rcodeName(answer.rcode)})` }
    const instead = wanted(values)
    return instead === null ? { seen: true } : { seen: false, fact: instead }
  } catch (error) {
    if (!(error instanceof OnecertError)) throw error
    const fact = error.code === 'DNS_UNREACHABLE' ? `no answer at ${endpointOf({ address, port })}: ` : ''
    const measured = failureFact(error)
    return { seen: false, fact: fact + measured, unreachable: true, ...(noRoute.test(measured) && { noRoute: true }) }
  }
}

export function otherValues(values: readonly string[]): string {
  const shown = values.slice(0, valuesShownMax).map((each) => `"${quote(each)}"`)
  const rest = values.length - shown.length
  return `other values: ${shown.join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`
}
