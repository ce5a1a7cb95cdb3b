import type { KeyFacts } from '../observe/disk.ts'
import type { Desired } from './desired.ts'
import { type Finding, finding } from './finding.ts'

/** A server on which keys were looked for. */
export interface Searched {
  readonly server: string
  readonly facts: KeyFacts
  /** The folder of the lineage there, and the paths that the fleet file names: copies that belong there. Empty: none does. */
  readonly own: readonly string[]
  /** It stands behind a proxy of this site, which ends TLS; null: it serves the lineage itself. */
  readonly behind: string | null
}

/**
 * Copies of a lineage's keys where they do not belong: beside the generations, or on an upstream; and whether all was
 * searched. Pure.
 */
export function judgeKeys({ certificate, keys }: Desired, { server, facts, own, behind }: Searched): Finding[] {
  const copies = facts.keys
    .filter(({ spki }) => spki !== null && keys.has(spki))
    .filter(({ path }) => !own.some((each) => path === each || path.startsWith(`${each}/`)))
    .map(({ path, spki, mode, owner }) => {
      const found = {
        certificate,
        server,
        site: behind,
        place: path,
        expected: behind === null ? 'no copy beside the generations' : 'no key: TLS ends at the proxy',
        disk: `key ${spki?.slice(0, 8)}, mode ${mode}, ${owner}`,
        repair: `on ${server}: delete ${path}; if others had access: onecert renew ${certificate} --rekey`,
      }
      return behind === null
        ? finding('key-elsewhere', { ...found, what: 'a copy of the private key lies beside those that onecert keeps' })
        : finding('key-on-upstream', { ...found, what: 'an upstream holds a private key of the site in front of it' })
    })
  if (facts.whole) return copies
  const cut = finding('unreachable', {
    certificate,
    server,
    site: behind,
    what: 'the search for copies of private keys was cut short: what it did not come to, nobody has seen',
    repair: `take folders that are large, or full of keys, off key-folders of ${server} in the fleet file; then: onecert audit --server ${server}`,
  })
  return [...copies, cut]
}
