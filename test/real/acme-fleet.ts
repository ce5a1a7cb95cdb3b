import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type FleetDocument, type RealFleet, siteName } from './fleet.ts'
import type { Pebble } from './pebble.ts'

export interface AskedCa {
  readonly pebble: Pebble
  /** Default: Pebble's own. */
  readonly directoryUrl?: string
  readonly httpPort: number
  /** Default: http-01 in the webroots of the servers. */
  readonly ways?: Record<string, unknown>
  readonly change?: (document: FleetDocument) => void
}

/** The certificate `www` of a fleet comes from Pebble, to which its site resolves to the servers. */
export async function askCa(
  fleet: RealFleet,
  { pebble, directoryUrl, httpPort, ways, change }: AskedCa,
): Promise<void> {
  const trust = join(fleet.directory, 'ca.pem')
  await writeFile(trust, pebble.trust)
  await fleet.configure((document) => {
    document.issuers = {
      lab: {
        acme: directoryUrl ?? pebble.directoryUrl,
        email: 'ops@lab.example',
        'ca-file': trust,
        ...(ways ?? { 'http-01': { webroot: '/nowhere', port: httpPort } }),
      },
    }
    document.certificates.www.issuer = 'lab'
    change?.(document)
  })
  const addresses = fleet.servers.map(({ service }) => service.address)
  await pebble.addA(siteName, addresses)
}
