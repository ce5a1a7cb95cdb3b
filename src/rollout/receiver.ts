import type { Fleet, Server } from '../fleet/fleet.ts'
import { lineagesOn } from '../fleet/placement.ts'
import type { ReceiverText } from '../reach/connection.ts'
import { type ReceiverSettings, receiverText } from '../reach/receiver.ts'
import { serviceOf } from '../services/drivers.ts'

const keyModeDefault = '0600'

/** The receiver that the fleet file asks for on a server: the same text whether sent along or installed. */
export function receiverFor(fleet: Fleet, server: Server): ReceiverText {
  return receiverText(receiverSettings(fleet, server))
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
    lineages: lineagesOn(fleet, server.name).map((lineage) => {
      const files = server.files.get(lineage)
      const webroot = webrootOf(fleet, lineage, server)
      return {
        lineage,
        layout: service.layout,
        keyMode: files?.mode ?? keyModeDefault,
        ...(service.ticketKeys && { ticketKeys: service.ticketKeys }),
        ...(files?.owner && { owner: files.owner }),
        ...(files?.chain && { chainPath: files.chain }),
        ...(files?.key && { keyPath: files.key }),
        ...(files?.combined && { combinedPath: files.combined }),
        ...(webroot !== null && { webroot }),
      }
    }),
  }
}

/** Where the lineage's challenges are answered on one of its servers. */
function webrootOf({ certificates, issuers }: Fleet, lineage: string, server: Server): string | null {
  for (const name of certificates.get(lineage)?.issuers ?? []) {
    const issuer = issuers.get(name)
    if (issuer?.kind === 'acme' && issuer.http01?.kind === 'webroot') return server.webroot ?? issuer.http01.webroot
  }
  return null
}
