import { makeResolver } from '../dns/resolver.ts'
import type { Certificate, Dns01Settings, DnsLookupSettings, Fleet, Issuer, Server } from '../fleet/fleet.ts'
import { serversOf } from '../fleet/placement.ts'
import { dns01 } from '../issue/dns/dns01.ts'
import { dnsPersist01 } from '../issue/dns/persist.ts'
import { providerOf } from '../issue/dns/provider/providers.ts'
import type { Solver } from '../issue/solver.ts'
import { type Door, http01 } from '../rollout/http01.ts'
import { receiverFor } from '../rollout/receiver.ts'
import { connectTimeoutMs } from './connection.ts'
import type { Context } from './context.ts'

export interface Solvers extends AsyncDisposable {
  readonly all: readonly Solver[]
}

/** What answers the challenges of an issuer for one lineage; connections to its servers are closed at the end. */
export async function openSolvers(context: Context, spec: Issuer, { name: lineage }: Certificate): Promise<Solvers> {
  const { fleet, ledger, signal } = context
  if (spec.kind !== 'acme') return { all: [], [Symbol.asyncDispose]: async () => {} }
  const { http01: settings } = spec
  const web =
    settings &&
    http01(settings, {
      lineage,
      serversOf: (name) => serversNamed(fleet, name),
      doorsOf: (name) => doorsOf(context, name),
      connect: (server) =>
        context.reachOf(server).open(server, {
          receiver: receiverFor(fleet, server, 'challenge'),
          carriesKey: false,
          timeoutMs: connectTimeoutMs,
          signal,
        }),
      ledger,
      notice: (text) => context.report({ kind: 'notice', lineage, text }),
    })
  const dns = spec.dns01 && dnsSolver(context, spec.dns01)
  const persist = spec.dnsPersist01 && persistSolver(context, spec.dnsPersist01, lineage)
  const tls = spec.tlsAlpn01 && (await import('../issue/tls-alpn01.ts')).tlsAlpn01(spec.tlsAlpn01, context)
  return {
    // Few CAs offer dns-persist-01: whoever has it beside another way wants it where that is so.
    all: [persist ?? [], web ?? [], dns ?? [], tls ?? []].flat(),
    async [Symbol.asyncDispose]() {
      await web?.[Symbol.asyncDispose]()
      await tls?.[Symbol.asyncDispose]()
    },
  }
}

function dnsSolver({ clock }: Context, settings: Dns01Settings): Solver {
  const { provider, resolvers, port, withinMs } = settings
  const resolver = makeResolver({ servers: resolvers })
  return dns01(providerOf(provider, resolver, clock), { resolver, clock, withinMs, authoritativePort: port })
}

function persistSolver({ clock, report }: Context, settings: DnsLookupSettings, lineage: string): Solver {
  const { resolvers, port } = settings
  const resolver = makeResolver({ servers: resolvers })
  const notice = (text: string) => report({ kind: 'notice', lineage, text })
  return dnsPersist01({ resolver, clock, authoritativePort: port, notice })
}

/** Those of the site of this name; none where there is no such site. */
function serversNamed(fleet: Fleet, name: string): Server[] {
  const site = fleet.sites.get(name)
  return site ? serversOf(fleet, site) : []
}

/** Each server by itself, and what stands before them. */
function doorsOf({ fleet }: Context, name: string): Door[] {
  const topology = fleet.sites.get(name)?.topology
  const own = serversNamed(fleet, name).flatMap((server) =>
    server.addresses.map((address): Door => ({ name: server.name, address })),
  )
  return topology?.kind === 'load-balancer' ? [...own, { name: 'the balancer', address: topology.address }] : own
}
