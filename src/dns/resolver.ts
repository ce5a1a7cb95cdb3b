import { getServers } from 'node:dns'
import { isIP } from 'node:net'
import { fail, OnecertError, quote } from '../base/errors.ts'
import { ask, endpointOf, exchangeTimeoutMs, failureFact, type NameServer } from './exchange.ts'
import { type Message, plainName, type RecordType, rcodeName } from './message.ts'

/** Asks the DNS as any client does: through resolvers that ask others. */
export interface Resolver {
  /**
   * Records, or the certain knowledge that there are none (NOERROR without answers, NXDOMAIN).
   * @throws OnecertError DNS_UNREACHABLE with what each resolver said
   */
  lookup(name: string, type: RecordType, signal: AbortSignal): Promise<Message>
}

export interface ResolverSettings {
  /** `address`, `address:port` or `[address]:port`; none, or empty: those of the system. */
  readonly servers?: readonly string[]
  /** Of each try at each server. */
  readonly timeoutMs?: number
}

export const dnsPort = 53
const serversMax = 8
const noError = 0
export const nameUnknown = 3

export function makeResolver({ servers, timeoutMs = exchangeTimeoutMs }: ResolverSettings = {}): Resolver {
  const chosen = resolverServers(servers)
  return {
    async lookup(name, type, signal) {
      const said: string[] = []
      for (const server of chosen) {
        try {
          const answer = await ask(server, { name, type, recursive: true }, { timeoutMs, signal })
          if (answer.rcode === noError || answer.rcode === nameUnknown) return answer
          said.push(`${endpointOf(server)} says ${rcodeName(answer.rcode)}`)
        } catch (error) {
          if (!(error instanceof OnecertError)) throw error
          said.push(`${endpointOf(server)}: ${failureFact(error)}`)
        }
      }
      return fail('DNS_UNREACHABLE', {
        what: `${type} of ${quote(plainName(name))} cannot be looked up`,
        fact: said.length > 0 ? said.join('; ') : 'this machine has no resolver',
        next: 'check the resolvers of this machine, and that the name servers of the zone answer (dig +trace)',
      })
    },
  }
}

/**
 * All A and AAAA records of a name, as the resolver tells them; it follows aliases.
 * @throws OnecertError DNS_UNREACHABLE
 */
export async function addressesOf(name: string, resolver: Resolver, signal: AbortSignal): Promise<string[]> {
  const found = await Promise.all(
    (['A', 'AAAA'] as const).map(async (type) => {
      const { rcode, answers } = await resolver.lookup(name, type, signal)
      if (rcode === nameUnknown) return []
      return answers.flatMap((record) => (record.type === type ? [record.data as string] : []))
    }),
  )
  return found.flat()
}

/** Those given, else those of this machine; the first few of them. */
export function resolverServers(given: readonly string[] = []): NameServer[] {
  const servers = given.length > 0 ? given : getServers()
  return servers.slice(0, serversMax).map((each) => parseNameServer(each))
}

/** @throws OnecertError CONFIG_BAD_VALUE */
export function parseNameServer(text: string, defaultPort = dnsPort): NameServer {
  if (isIP(text) !== 0) return { address: text, port: defaultPort }
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  const address = bracketed ?? plain ?? ''
  const number = port === undefined ? defaultPort : Number(port)
  if (isIP(address) === 0 || (bracketed !== undefined && isIP(address) !== 6) || number < 1 || number > 65_535) {
    fail('CONFIG_BAD_VALUE', {
      what: `${quote(text)} is no name server`,
      fact: 'an IP address is wanted, with :port where it is not 53',
      next: 'write it as 192.0.2.53, 192.0.2.53:5353 or [2001:db8::53]:5353',
    })
  }
  return { address, port: number }
}
