import { ask } from '../../src/dns/exchange.ts'
import { type BindKey, type RunningBind, startBind } from './bind.ts'
import { type DnsRelay, startDnsRelay } from './dns-relay.ts'
import { chooseEndpoint } from './running.ts'

const key: BindKey = { name: 'onecert', algorithm: 'hmac-sha256', secret: Buffer.alloc(32, 'k').toString('base64') }

/** `lab.example` at a primary that takes updates of addresses, and at a secondary that gets them once a second. */
export interface PublishedZone extends AsyncDisposable {
  readonly primary: RunningBind
  readonly secondary: RunningBind
  /** Stands before the secondary, at its public address. */
  readonly ns2: DnsRelay
  /** Whether the secondary answers at that address. */
  hear(answers: boolean): void
  /** An entry of `zones` in a fleet file. */
  readonly settings: Record<string, unknown>
  /** The A and AAAA records of a name, as one of them has it. */
  addresses(name: string, at?: 'primary' | 'secondary'): Promise<string[]>
}

export async function startPublishedZone(records: readonly string[]): Promise<PublishedZone> {
  const { address: second } = await chooseEndpoint({})
  const servers = [
    { name: 'ns1.lab.example', address: '127.0.0.1' },
    { name: 'ns2.lab.example', address: second },
  ]
  const primary = await startBind({
    keys: [key],
    recursion: true,
    zones: [
      { name: 'lab.example', servers, records, types: ['A', 'AAAA', 'TXT'] },
      { name: '.', servers: [{ name: 'ns1.lab.example', address: '127.0.0.1' }] },
    ],
  })
  const secondary = await startBind({ zones: [{ name: 'lab.example', servers, primaryPort: primary.port }] })
  let heard = true
  const ns2 = await startDnsRelay(secondary, (response) => (heard ? response : null), {
    address: second,
    port: primary.port,
  })
  return {
    primary,
    secondary,
    ns2,
    hear(answers) {
      heard = answers
    },
    settings: {
      rfc2136: { server: primary.server, 'key-file': await primary.keyFile(key) },
      ttl: '3s',
      resolvers: [primary.server],
      port: primary.port,
      within: '20s',
    },
    async addresses(name, at = 'primary') {
      const server = at === 'primary' ? primary : secondary
      const limits = { timeoutMs: 5_000, signal: AbortSignal.timeout(10_000) }
      const answers = await Promise.all(
        (['A', 'AAAA'] as const).map((type) => ask(server, { name, type, recursive: false }, limits)),
      )
      return answers
        .flatMap(({ answers: all }) => all)
        .flatMap((record) => (record.type === 'A' || record.type === 'AAAA' ? [record.data] : []))
        .sort()
    },
    async [Symbol.asyncDispose]() {
      await ns2[Symbol.asyncDispose]()
      await secondary.stop()
      await primary.stop()
    },
  }
}
