import { quote } from '../../base/errors.ts'
import { closest } from '../../base/similar.ts'
import { canonicalAddress, isAddress } from '../../pki/names.ts'
import type { ServiceKind } from '../fleet.ts'
import { usualLayout } from '../layout.ts'
import type { Source } from '../source.ts'
import { kindOf, type Outline } from './outline.ts'
import { listCharactersMax, nameCharactersMax, repetitions } from './reference.ts'

/** Else a slip in its name would open its servers at any time. */
export function reportEmptyLocations(source: Source, { locations, servers }: Outline): void {
  const known = new Set(Object.values(servers ?? {}).flatMap((server) => server?.location ?? []))
  for (const name of Object.keys(locations ?? {})) {
    if (known.has(name)) continue
    source.report(
      'CONFIG_UNKNOWN_REFERENCE',
      ['locations', name],
      () => {
        const near = name.length <= nameCharactersMax ? closest(name, [...known]) : undefined
        return {
          what: `no server is in the location "${quote(name)}"`,
          fact: near
            ? `did you mean "${quote(near)}"?`
            : `there is ${quote([...known].join(', ') || 'none', listCharactersMax)}`,
        }
      },
      'key',
    )
  }
}

/** Both would be looked at by the same handshakes. Through the server an address is that server's own. */
export function reportSharedAddresses(source: Source, servers: NonNullable<Outline['servers']>): void {
  const several = (name: string) => (servers[name]?.address?.length ?? 0) > 1
  const direct = Object.entries(servers).flatMap(([name, server]) => {
    if (!server || server.probe === 'through-server') return []
    const ports = (server.listeners ?? [server]).map(({ port }) => port).filter((port) => port > 0)
    const addresses = (server.address ?? []).flatMap((each) =>
      isAddress(each ?? '') ? canonicalAddress(each ?? '') : [],
    )
    return addresses.flatMap((address) => ports.map((port) => ({ name, endpoint: `${address} port ${port}` })))
  })
  for (const [again, first] of repetitions(direct.map(({ endpoint }) => endpoint))) {
    const [name, before] = [direct[again]?.name ?? '', direct[first]?.name ?? '']
    source.report('CONFIG_BAD_VALUE', ['servers', name, 'address'], () =>
      name === before
        ? {
            what: `"${quote(name)}" has ${several(name) ? 'an address or a port' : 'a port'} twice`,
            fact: direct[again]?.endpoint ?? '',
          }
        : {
            what: `the servers "${quote(before)}" and "${quote(name)}" have the same address and port`,
            fact: `${direct[again]?.endpoint}; the first is in line ${source.lineOf(['servers', before, 'address'])}`,
          },
    )
  }
}

/** Explicit paths must fit what the service reads: a pair of files, or one combined file. */
export function reportUnfitFiles(
  source: Source,
  name: string,
  { service, files }: NonNullable<NonNullable<Outline['servers']>[string]>,
): void {
  if (service === undefined) return
  const kind = kindOf(service) ?? ''
  const written = typeof service === 'string' ? undefined : service[kind]
  const layout = written?.layout ?? (Object.hasOwn(usualLayout, kind) ? usualLayout[kind as ServiceKind] : 'pair')
  for (const [certificate, settings] of Object.entries(files ?? {})) {
    const { chain, key, combined, mode: _mode, owner: _owner, ...misspelt } = settings ?? {}
    const paths = [chain, key, combined].some((each) => each !== undefined)
    const right = layout === 'pair' ? chain && key && !combined : combined && !chain && !key
    if (!paths || right || Object.keys(misspelt).length > 0) continue
    source.report('CONFIG_BAD_VALUE', ['servers', name, 'files', certificate], () => ({
      what: `the files of ${quote(certificate)} on ${quote(name)} do not fit ${quote(kind)}`,
      fact: layout === 'pair' ? 'it reads two files: "chain" and "key"' : 'it reads one file: "combined"',
    }))
  }
}
