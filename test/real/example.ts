import { readFile, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { parse } from 'yaml'
import type { FleetDocument, RealFleet } from './fleet.ts'
import type { Pebble } from './pebble.ts'

const examples = resolve(import.meta.dirname, '../../examples')

/** What an example cannot know: addresses, ports and paths of this machine. */
export interface Place {
  readonly pebble: Pebble
  /** Default: Pebble's own. */
  readonly directoryUrl?: string
  /** Where the servers answer http-01. */
  readonly httpPort?: number
  /** `address:port`. */
  readonly listen?: string
  readonly nameServer?: { readonly server: string; readonly port: number; readonly keyFile?: string }
  /** In place of the program of `exec`; its words stay. */
  readonly program?: string
}

/**
 * An example becomes the fleet file of a fleet whose servers have the same names. All that it says stays, but for addresses,
 * ports, paths, how to log in to a server, and the CA with the root of its HTTPS.
 */
export async function configureExample(fleet: RealFleet, name: string, place: Place): Promise<FleetDocument> {
  const example: FleetDocument = parse(await readFile(join(examples, name), 'utf8'))
  const { pebble, directoryUrl = pebble.directoryUrl } = place
  const [trust, roots] = [join(fleet.directory, 'ca.pem'), join(fleet.directory, 'roots.pem')]
  await writeFile(trust, pebble.trust)
  await writeFile(roots, (await pebble.roots()).join(''))
  await fleet.configure((document) => {
    for (const issuer of Object.values<FleetDocument>(example.issuers)) {
      Object.assign(issuer, { acme: directoryUrl, 'ca-file': trust })
      if (issuer['roots-file']) issuer['roots-file'] = roots
      if (issuer['http-01']) placeHttp(issuer['http-01'], fleet, place)
      for (const way of ['dns-01', 'dns-persist-01']) if (issuer[way]) placeDns(issuer[way], place)
    }
    for (const [server, written] of Object.entries<FleetDocument>(example.servers)) {
      const { webroot, ...here } = document.servers[server]
      Object.assign(written, here, written.webroot && { webroot })
    }
    for (const key of Object.keys(document)) delete document[key]
    Object.assign(document, example)
  })
  const addresses = fleet.servers.map(({ service }) => service.address)
  for (const site of Object.keys(example.sites)) await pebble.addA(site, addresses)
  return example
}

function placeHttp(http: FleetDocument, { servers }: RealFleet, { httpPort, listen }: Place): void {
  http.port = httpPort
  if (http.webroot) http.webroot = servers[0]?.webroot
  if (http.listen) http.listen = listen
}

function placeDns(dns: FleetDocument, { nameServer, program }: Place): void {
  if (!nameServer) throw new Error('the example needs a name server')
  const { server, port, keyFile } = nameServer
  Object.assign(dns, { port, resolvers: [server] })
  if (dns.rfc2136) Object.assign(dns.rfc2136, { server, 'key-file': keyFile })
  if (dns.exec) dns.exec[0] = program
}
