import { isIP } from 'node:net'
import type { Desired } from '../audit/desired.ts'
import { finding } from '../audit/finding.ts'
import { judgeKeys } from '../audit/keys.ts'
import { type Subject, subject } from '../audit/subject.ts'
import type { Certificate, Fleet, Upstream } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import { handshake } from '../observe/handshake.ts'
import { notVisited, type Visited } from './audit-visits.ts'
import type { Context } from './context.ts'

const handshakeTimeoutMs = 5_000

/** An upstream, and the lineages of the sites in front of it. */
export interface Behind extends Upstream {
  readonly site: string
  readonly certificates: readonly string[]
}

export function upstreamsOf(fleet: Fleet, certificates: readonly Certificate[]): Behind[] {
  const chosen = new Set(certificates.map(({ name }) => name))
  return [...fleet.sites.values()].flatMap(({ name: site, certificates: own, topology }) =>
    topology.kind === 'reverse-proxy' && own.some((each) => chosen.has(each))
      ? topology.upstreams.map((upstream) => ({ ...upstream, site, certificates: own }))
      : [],
  )
}

/** An upstream holds no key of the site: not in a file, and not behind its own TLS. */
export async function auditUpstream(
  { fleet, signal }: Context,
  desired: Desired,
  { url, server, site }: Behind,
  { visits, failures }: Visited,
): Promise<Subject> {
  const { certificate } = desired
  const base = { certificate, server: server ?? null, site, place: url }
  const facts = server === undefined ? null : visits.get(server)?.keys
  // It may serve the same lineage at a site of its own: there its copy belongs to it.
  const serves = server !== undefined && placements(fleet, certificate).some((each) => each.server.name === server)
  const found =
    server === undefined || serves
      ? []
      : [
          ...notVisited(certificate, server, failures),
          ...(facts ? judgeKeys(desired, { server, facts, own: [], behind: site }) : []),
        ]
  const { protocol, hostname, port } = new URL(url)
  const address = hostname.replace(/^\[|\]$/g, '')
  if (protocol !== 'https:' || isIP(address) === 0) return subject('upstream', { ...base, findings: found })
  const endpoint = { address, port: Number(port || 443), name: site }
  const served = await handshake(endpoint, { timeoutMs: handshakeTimeoutMs, signal }).catch(() => null)
  signal.throwIfAborted()
  if (served === null || !desired.keys.has(served.spki)) return subject('upstream', { ...base, findings: found })
  const proved = finding('key-on-upstream', {
    ...base,
    what: 'an upstream proves by handshake that it holds a private key of the site in front of it',
    expected: 'another key: TLS ends at the proxy',
    served: `leaf ${served.chain[0]?.slice(0, 8)}, key ${served.spki.slice(0, 8)}`,
    repair: `give ${url} a certificate of its own (docs/guides/reverse-proxy.md); then: onecert renew ${certificate} --rekey`,
  })
  return subject('upstream', { ...base, findings: [...found, proved] })
}
