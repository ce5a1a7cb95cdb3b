import { isIP } from 'node:net'
import type { Desired } from '../audit/desired.ts'
import { finding } from '../audit/finding.ts'
import { judgeKeys } from '../audit/keys.ts'
import { type Subject, subject } from '../audit/subject.ts'
import { asOnecertError, OnecertError } from '../base/errors.ts'
import type { Certificate, Fleet, Upstream } from '../fleet/fleet.ts'
import { placements } from '../fleet/placement.ts'
import type { Endpoint } from '../observe/endpoint.ts'
import { handshake } from '../observe/handshake.ts'
import { notVisited, type Visited } from './audit-visits.ts'
import { type Choice, isChosen } from './choice.ts'
import type { Context } from './context.ts'

const handshakeTimeoutMs = 5_000

/** An upstream, and the lineages of the sites in front of it. */
export interface Behind extends Upstream {
  readonly site: string
  readonly certificates: readonly string[]
}

/** Those that can be looked at: by their files, or by a handshake. Where servers are chosen, those among them. */
export function upstreamsOf(fleet: Fleet, certificates: readonly Certificate[], choice: Choice): Behind[] {
  const chosen = new Set(certificates.map(({ name }) => name))
  return [...fleet.sites.values()].flatMap(({ name: site, certificates: own, topology }) =>
    topology.kind === 'reverse-proxy' && own.some((each) => chosen.has(each))
      ? topology.upstreams
          .filter(({ url, server }) =>
            server === undefined ? !choice.servers && endpointAt(url, site) !== null : isChosen(choice, server),
          )
          .map((upstream) => ({ ...upstream, site, certificates: own }))
      : [],
  )
}

/** null: it ends no TLS there, or which address it is nobody knows. */
function endpointAt(url: string, name: string): Endpoint | null {
  const { protocol, hostname, port } = new URL(url)
  const address = hostname.replace(/^\[|\]$/g, '')
  return protocol === 'https:' && isIP(address) !== 0 ? { address, port: Number(port || 443), name } : null
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
  const endpoint = serves ? null : endpointAt(url, site)
  if (endpoint === null) return subject('upstream', { ...base, findings: found })
  const served = await handshake(endpoint, { timeoutMs: handshakeTimeoutMs, signal }).catch(asOnecertError)
  signal.throwIfAborted()
  if (served instanceof OnecertError) {
    // Its files tell of its keys too.
    if (server !== undefined) return subject('upstream', { ...base, findings: found })
    const unseen = finding('unreachable', {
      ...base,
      what: `whether an upstream holds a private key of ${site} could not be seen: ${served.failure.what}`,
      repair: `look at ${url}, or name the server that it is (docs/guides/reverse-proxy.md); then: onecert audit`,
    })
    return subject('upstream', { ...base, findings: [unseen] })
  }
  if (!desired.keys.has(served.spki)) return subject('upstream', { ...base, findings: found })
  const proved = finding('key-on-upstream', {
    ...base,
    what: 'an upstream proves by handshake that it holds a private key of the site in front of it',
    expected: 'another key: TLS ends at the proxy',
    served: `leaf ${served.chain[0]?.slice(0, 8)}, key ${served.spki.slice(0, 8)}`,
    repair: `give ${url} a certificate of its own (docs/guides/reverse-proxy.md); then: onecert renew ${certificate} --rekey`,
  })
  return subject('upstream', { ...base, findings: [...found, proved] })
}
