import type { Fleet, Server } from '../fleet/fleet.ts'
import { lineagesOn, sitesOn } from '../fleet/placement.ts'
import type { ReceiverText } from '../reach/connection.ts'
import { type Purpose, type ReceiverSettings, receiverText } from '../reach/receiver.ts'
import { includeDirectories, includeFile, isSoftware } from '../services/config/software.ts'
import { dumpsFor } from '../services/discover/dump.ts'
import { serviceOf } from '../services/drivers.ts'

const keyModeDefault = '0600'

/** The receiver that the fleet file asks for on a server. Without a purpose: all of it, as it is installed. */
export function receiverFor(fleet: Fleet, server: Server, purpose?: Purpose): ReceiverText {
  return receiverText(receiverSettings(fleet, server), purpose)
}

export function receiverSettings(fleet: Fleet, server: Server): ReceiverSettings {
  const service = serviceOf(server.service)
  return {
    directory: server.directory,
    test: service.test,
    reload: service.reload,
    start: service.start,
    keyFolders: server.keyFolders,
    ...(service.sealing && { sealing: service.sealing }),
    kind: service.kind,
    dumps: dumpsFor(service),
    includes: includesOf(fleet, server),
    includeNamed: server.include !== undefined,
    ...(service.socket !== undefined && { socket: service.socket }),
    lineages: lineagesOn(fleet, server.name).map((lineage) => {
      const files = server.files.get(lineage)
      const owner = files?.owner ?? service.keyOwner
      const webroot = webrootOf(fleet, lineage, server)
      return {
        lineage,
        layout: service.layout,
        keyMode: files?.mode ?? service.keyMode ?? keyModeDefault,
        ...(owner !== undefined && { owner }),
        ...(service.ticketKeys && { ticketKeys: service.ticketKeys }),
        ...(files?.chain && { chainPath: files.chain }),
        ...(files?.key && { keyPath: files.key }),
        ...(files?.combined && { combinedPath: files.combined }),
        ...(webroot !== null && { webroot }),
      }
    }),
  }
}

/**
 * The include files of a server, by the word that its receiver knows them by: one for each of its sites; for HAProxy one for
 * all. An empty path: nobody said where.
 */
function includesOf(fleet: Fleet, server: Server): Record<string, string> {
  const own = sitesOn(fleet, server.name)
  return Object.fromEntries(own.map(({ name }) => [includeWord(server, name), includePath(server, name) ?? '']))
}

/** A word of the receiver's grammar. */
export function includeWord({ service }: Server, site: string): string {
  return service.kind === 'haproxy' ? 'all' : site.replace(/^\*/, '_')
}

/** Where the include file of a site goes; null where the service has no usual place and the fleet file names none. */
export function includePath(server: Server, site: string): string | null {
  const { kind } = server.service
  if (!isSoftware(kind)) return null
  const folder = server.include ?? includeDirectories[kind]
  return folder === undefined ? null : `${folder}/${includeFile(kind, site)}`
}

/** Where the lineage's challenges are answered on one of its servers. */
function webrootOf({ certificates, issuers }: Fleet, lineage: string, server: Server): string | null {
  for (const name of certificates.get(lineage)?.issuers ?? []) {
    const issuer = issuers.get(name)
    if (issuer?.kind === 'acme' && issuer.http01?.kind === 'webroot') return server.webroot ?? issuer.http01.webroot
  }
  return null
}
