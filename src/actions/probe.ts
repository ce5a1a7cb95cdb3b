import { isIPv6 } from 'node:net'
import { makeProbeJudge, type Probed, type Verdict } from '../audit/probed.ts'
import type { Clock } from '../base/clock.ts'
import { asOnecertError, fail, OnecertError, quote } from '../base/errors.ts'
import { addressesOf, makeResolver } from '../dns/resolver.ts'
import type { KeyKind, Listener } from '../fleet/fleet.ts'
import { handshake } from '../observe/handshake.ts'
import { ticketLifetimeAt } from '../observe/ticket.ts'
import { canonicalAddress, isAddress, parseHostName } from '../pki/names.ts'

/** How each is looked at. */
export interface ProbeSettings extends Omit<Listener, 'port'> {
  readonly keyKind?: KeyKind
  /** As clients that know only the address; the leaf has to cover the name nevertheless. */
  readonly withoutSni?: boolean
  readonly timeoutMs: number
  /** A whole handshake more, for the lifetime of its session tickets. */
  readonly tickets?: boolean
  /** `address`, `address:port`; empty: those of this machine. */
  readonly resolvers: readonly string[]
}

/** Where to look, as somebody wrote it. */
export interface Place {
  /** An IP address, or a host name that stands for several. */
  readonly host: string
  readonly port: number
  /** Sent as SNI, but with `withoutSni`; the leaf has to cover it. */
  readonly name: string
}

/** All endpoints that one place stands for. */
export interface PlaceProbed {
  /** The worst of all. */
  readonly verdict: Verdict
  readonly endpoints: readonly Probed[]
  /** Why there is no endpoint to look at; null: there is. */
  readonly problem: OnecertError | null
}

const addressesMax = 64

/**
 * `ADDRESS`, `ADDRESS:PORT`, `[ADDRESS]:PORT`, and the same with a host name.
 * @param name absent: the host name itself
 * @throws OnecertError NAME_INVALID and its like, USAGE where there is an address and no name
 */
export function parsePlace(text: string, name: string | undefined, defaultPort: number): Place {
  const [, bracketed, plain, digits] = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text) ?? []
  const host = bracketed ?? plain ?? text
  const port = digits === undefined ? defaultPort : Number(digits)
  if (port < 1 || port > 65_535)
    fail('USAGE', {
      what: `"${quote(text)}" cannot be looked at`,
      fact: `${port} is no port`,
      next: 'write 1 to 65535',
    })
  if (!isAddress(host) || (bracketed !== undefined && !isIPv6(host))) {
    const parsed = parseHostName(host)
    return { host: parsed, port, name: name === undefined ? parsed : parseName(name) }
  }
  if (name === undefined)
    fail('USAGE', {
      what: `"${quote(text)}" cannot be looked at`,
      fact: 'it is an address, and no host name to ask for is given',
      next: 'write the name behind it in a list, or give --name NAME',
    })
  return { host: canonicalAddress(host), port, name: parseName(name) }
}

/** A name is asked for millions of times. */
let lastName: readonly [text: string, name: string] = ['', '']

function parseName(text: string): string {
  if (lastName[0] !== text) lastName = [text, parseHostName(text)]
  return lastName[1]
}

/** Looks at places, one after another or many at once; what it learns of chains is kept as long as it is. */
export function makeProbe(
  settings: ProbeSettings,
  clock: Clock,
): (place: Place, signal: AbortSignal) => Promise<PlaceProbed> {
  const { timeoutMs, tickets = false, withoutSni = false, resolvers, starttls, proxyProtocol, keyKind } = settings
  const way = { ...(starttls && { starttls }), ...(proxyProtocol && { proxyProtocol }), ...(keyKind && { keyKind }) }
  const judge = makeProbeJudge()
  const resolver = makeResolver({ servers: resolvers })
  const look = async (address: string, { port, name }: Place, signal: AbortSignal) => {
    const endpoint = { address, port, name: withoutSni ? '' : name, ...way }
    const seen = await handshake(endpoint, { timeoutMs, signal }).catch((error: unknown) => {
      signal.throwIfAborted()
      return asOnecertError(error)
    })
    const probed = judge({ ...endpoint, name }, seen, clock.nowMs())
    if (!tickets || seen instanceof OnecertError) return probed
    try {
      return { ...probed, ticketLifetimeSeconds: await ticketLifetimeAt(endpoint, { timeoutMs, signal }) }
    } catch {
      // What was seen of the certificate stands.
      signal.throwIfAborted()
      return probed
    }
  }
  return async (place, signal) => {
    if (isAddress(place.host)) return placeProbed([await look(place.host, place, signal)])
    try {
      const addresses = await resolved(place.host, signal)
      return placeProbed(await Promise.all(addresses.map((address) => look(address, place, signal))))
    } catch (error) {
      signal.throwIfAborted()
      if (!(error instanceof OnecertError)) throw error
      return { verdict: 'unseen', endpoints: [], problem: error }
    }
  }

  /** Of the DNS only, not of /etc/hosts: what others see is what counts. */
  async function resolved(host: string, signal: AbortSignal): Promise<readonly string[]> {
    // RFC 6761 section 6.3: it is never asked of the DNS.
    if (host === 'localhost' || host.endsWith('.localhost')) return ['127.0.0.1', '::1']
    const addresses = [...new Set((await addressesOf(host, resolver, signal)).map(canonicalAddress))]
    if (addresses.length === 0 || addresses.length > addressesMax)
      fail('PROBE_NO_ADDRESS', {
        what: `${host} cannot be looked at`,
        fact:
          addresses.length === 0
            ? 'the DNS has neither an A nor an AAAA record of it'
            : `the DNS has ${addresses.length} addresses of it, and more than ${addressesMax} are not looked at`,
        next: `see: dig ${host} A ${host} AAAA; /etc/hosts is not read`,
      })
    return addresses
  }
}

function placeProbed(endpoints: readonly Probed[]): PlaceProbed {
  const has = (verdict: Verdict) => endpoints.some((each) => each.verdict === verdict)
  return { verdict: has('wrong') ? 'wrong' : has('unseen') ? 'unseen' : 'ok', endpoints, problem: null }
}
