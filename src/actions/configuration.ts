import { asOnecertError, fail, quote } from '../base/errors.ts'
import type { Fleet, Listener, LoadBalancerTopology, Server, Site } from '../fleet/fleet.ts'
import { lineagesOn, sitesOn } from '../fleet/placement.ts'
import { openAccount } from '../issue/acme/registration.ts'
import { bracketed } from '../pki/names.ts'
import { includePath, receiverFor } from '../rollout/receiver.ts'
import type { Challenge } from '../services/config/challenge.ts'
import { type ProfileName, profiles } from '../services/config/profile.ts'
import type { CertificateFiles, Member, SiteRequest } from '../services/config/request.ts'
import { balancerOf, configOf, isSoftware, softwareKinds } from '../services/config/software.ts'
import { readVersions, type Software, type Versions } from '../services/config/versions.ts'
import { serviceOf } from '../services/drivers.ts'
import { ticketsPath } from '../services/tickets.ts'
import { acmeTools } from './account.ts'
import { chosenServer, chosenSite } from './choice.ts'
import { withConnection } from './connection.ts'
import type { Context } from './context.ts'

export type Part = 'member' | 'balancer' | 'proxy'

export interface ConfigurationChoice {
  readonly site: string
  readonly server?: string
  readonly part?: Part
  readonly profile: ProfileName
  /** In place of what the fleet file says a server has. */
  readonly software?: Software
  /** Known to the caller; a server is not asked for what is here. */
  readonly versions: Readonly<Partial<Record<Software | 'openssl', string>>>
  /** The servers are asked for their versions. */
  readonly ask: boolean
  /** The address that they listen at; absent: all of the machine. */
  readonly bind?: string
  /** For plain HTTP; null: no redirect. Absent: that of the http-01 challenge, else 80. */
  readonly httpPort?: number | null
}

/** The configuration of one server, or of the balancer, for a site. */
export interface Configuration {
  /** null: the balancer, which is no server of the fleet. */
  readonly server: string | null
  readonly part: Part
  readonly software: Software
  /** Where --install puts it; null: nowhere. */
  readonly path: string | null
  readonly text: string
  /** Why the versions of the server are not known, though it was to be asked. */
  readonly unasked: string | null
}

const httpPortDefault = 80

/**
 * What the servers of a site need in their configuration, in fleet-file order; the balancer is last.
 * @throws OnecertError USAGE, SERVER_UNKNOWN; CONFIG_BAD_VALUE for what no configuration can be made of
 */
export async function configurations(context: Context, choice: ConfigurationChoice): Promise<Configuration[]> {
  const { fleet } = context
  const site = chosenSite(fleet, choice.site)
  const { topology } = site
  const part: Part = topology.kind === 'reverse-proxy' ? 'proxy' : 'member'
  const only = choice.server === undefined ? null : chosenServer(fleet, choice.server).name
  const servers = topology.servers.filter((name) => only === null || name === only)
  const made: Configuration[] = []
  if (choice.part === undefined || choice.part === part) {
    for (const name of servers)
      made.push(await serverConfiguration(context, site, chosenServer(fleet, name), part, choice))
  }
  if (topology.kind === 'load-balancer' && only === null && (choice.part ?? 'balancer') === 'balancer')
    made.push(balancerConfiguration(fleet, topology, choice))
  if (made.length === 0) {
    fail('USAGE', {
      what: `there is no ${choice.part ?? 'server'} of ${site.name} to make a configuration for`,
      fact: `${site.name} has the topology ${topology.kind}, with ${topology.servers.join(', ')}`,
      next: `onecert config ${site.name}`,
    })
  }
  return made
}

async function serverConfiguration(
  context: Context,
  site: Site,
  server: Server,
  part: Part,
  choice: ConfigurationChoice,
): Promise<Configuration> {
  const software = softwareOf(server, choice)
  const { versions, unasked } = await versionsOf(context, server, software, choice)
  const challenge = await challengeOf(context, site, server)
  const issuerPort = challenge?.port ?? httpPortDefault
  // One frontend of HAProxy has all sites of the server.
  const sites = software === 'haproxy' ? sitesOn(context.fleet, server.name) : [site]
  const requests = await Promise.all(
    sites.map(async (each) =>
      siteRequest(each, server, software, (await challengeOf(context, each, server))?.challenge ?? null),
    ),
  )
  const [first = fail('INTERNAL', { what: `${server.name} has no site` }), ...rest] = requests
  const listener = httpsOf(server)
  return {
    server: server.name,
    part,
    software,
    path: server.service.kind === software ? includePath(server, site.name) : null,
    text: configOf[software]({
      profile: profiles[choice.profile],
      versions,
      bind: choice.bind ?? null,
      port: listener.port,
      proxyProtocol: listener.proxyProtocol !== undefined,
      tickets: ticketsFor(context.fleet, server),
      httpPort: choice.httpPort === undefined ? issuerPort : choice.httpPort,
      sites: [first, ...rest],
    }),
    unasked,
  }
}

/** Those of the first lineage there that has some. */
function ticketsFor(fleet: Fleet, server: Server): string | null {
  const lineage = lineagesOn(fleet, server.name).find((each) => fleet.certificates.get(each)?.tickets !== undefined)
  return lineage === undefined ? null : ticketsPath(server, lineage)
}

/** Of HTTPS: the first port at which TLS does not begin inside of something else. */
function httpsOf({ listeners }: Server): Listener {
  return listeners.find(({ starttls }) => starttls === undefined) ?? { port: 443 }
}

function memberOf(server: Server): Member {
  const { port, proxyProtocol = null } = httpsOf(server)
  return { name: server.name, address: server.address, port, proxyProtocol }
}

function softwareOf({ name, service }: Server, { software }: ConfigurationChoice): Software {
  if (software !== undefined) return software
  if (isSoftware(service.kind)) return service.kind
  return fail('USAGE', {
    what: `what ${name} runs is not known to onecert: its service is "${service.kind}"`,
    state: 'nothing was made',
    next: `name the software: --software ${softwareKinds.join('|')}`,
  })
}

function siteRequest(site: Site, server: Server, software: Software, challenge: Challenge | null): SiteRequest {
  const { topology } = site
  const path = includePath(server, site.name)
  const more =
    path === null || software === 'haproxy'
      ? null
      : `${path.replace(/\.[a-z]+$/, '.d')}/*${/\.[a-z]+$/.exec(path)?.[0]}`
  return {
    name: site.name,
    certificates: site.certificates.map((lineage) => filesOf(server, lineage)),
    upstreams: topology.kind === 'reverse-proxy' ? topology.upstreams.map(({ url }) => url) : [],
    challenge,
    more,
  }
}

/** Where the service finds a lineage on a server: the explicit paths, else below `current`. */
function filesOf(server: Server, lineage: string): CertificateFiles {
  const files = server.files.get(lineage)
  const current = `${server.directory}/${lineage}/current`
  return serviceOf(server.service).layout === 'combined'
    ? { layout: 'combined', combined: files?.combined ?? `${current}/combined.pem` }
    : { layout: 'pair', chain: files?.chain ?? `${current}/fullchain.pem`, key: files?.key ?? `${current}/privkey.pem` }
}

/** How the site's name is proved by http-01 at this server; null where no issuer of its certificates does that. */
async function challengeOf(
  context: Context,
  site: Site,
  server: Server,
): Promise<{ readonly challenge: Challenge; readonly port: number } | null> {
  const { fleet } = context
  if (site.name.startsWith('*.')) return null
  for (const issuer of site.certificates.flatMap((name) => fleet.certificates.get(name)?.issuers ?? [])) {
    const spec = fleet.issuers.get(issuer)
    if (spec?.kind !== 'acme' || !spec.http01) continue
    const { port } = spec.http01
    switch (spec.http01.kind) {
      case 'webroot':
        return { port, challenge: { kind: 'webroot', webroot: server.webroot ?? spec.http01.webroot } }
      case 'listen': {
        const { address, listenPort } = spec.http01
        return {
          port,
          challenge: { kind: 'listen', address: `${bracketed(address)}:${listenPort}` },
        }
      }
      case 'stateless': {
        // The key of the account is enough: the CA is not asked.
        const { client } = await openAccount(spec, await acmeTools(context))
        return { port, challenge: { kind: 'stateless', thumbprint: client.keyAuthorization('').slice(1) } }
      }
    }
  }
  return null
}

/** From the caller, else from the server itself. A server that cannot be asked is one of which nothing is known. */
async function versionsOf(
  context: Context,
  server: Server,
  software: Software,
  { versions: given, ask }: ConfigurationChoice,
): Promise<{ readonly versions: Versions; readonly unasked: string | null }> {
  const own = given[software]
  const known: Versions = {
    ...(own !== undefined && { software: own }),
    ...(given.openssl !== undefined && { openssl: given.openssl }),
  }
  if (!ask || own !== undefined) return { versions: known, unasked: null }
  try {
    const receiver = receiverFor(context.fleet, server, 'configuration')
    const { output, facts } = await withConnection(context, server, receiver, ({ request }) => request('versions', []))
    return {
      versions: { ...readVersions(output, software), ipv6: facts.get('ipv6') === 'yes', ...known },
      unasked: null,
    }
  } catch (thrown) {
    context.signal.throwIfAborted()
    return { versions: known, unasked: quote(asOnecertError(thrown).failure.what, 200) }
  }
}

/** All sites behind the same balancer: they share its port. */
function balancerConfiguration(fleet: Fleet, at: LoadBalancerTopology, choice: ConfigurationChoice): Configuration {
  const software = choice.software ?? 'haproxy'
  const make = balancerOf[software]
  if (!make) {
    fail('USAGE', {
      what: `onecert makes no balancer configuration for ${software}`,
      state: 'nothing was made',
      next: `--software ${Object.keys(balancerOf).join(' or --software ')}, or --part member`,
    })
  }
  const sites = [...fleet.sites.values()].flatMap(({ name, topology }) =>
    topology.kind === 'load-balancer' && topology.address === at.address && topology.port === at.port
      ? [{ name, members: topology.servers.map((each) => memberOf(chosenServer(fleet, each))) }]
      : [],
  )
  const [first = fail('INTERNAL', { what: 'a balancer without sites' }), ...rest] = sites
  const text = make({
    bind: choice.bind ?? null,
    port: at.port,
    httpPort: choice.httpPort === undefined ? httpPortDefault : choice.httpPort,
    sites: [first, ...rest],
  })
  return { server: null, part: 'balancer', software, path: null, text, unasked: null }
}
