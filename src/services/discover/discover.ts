import { discoverApache } from './apache.ts'
import { discoverCaddy } from './caddy.ts'
import type { Discoverable } from './dump.ts'
import { type FileFacts, type FoundSite, fileFacts } from './found.ts'
import { discoverHaproxy } from './haproxy.ts'
import { discoverNginx } from './nginx.ts'
import { discoverDovecot, discoverPostfix, discoverPostgresql } from './settings.ts'

export interface Discovery {
  readonly kind: Discoverable
  readonly sites: readonly FoundSite[]
  readonly facts: ReadonlyMap<string, FileFacts>
}

const parsers: Readonly<
  Record<Discoverable, (lines: readonly string[], facts: ReadonlyMap<string, FileFacts>) => FoundSite[]>
> = {
  nginx: discoverNginx,
  apache: discoverApache,
  haproxy: discoverHaproxy,
  caddy: discoverCaddy,
  postfix: discoverPostfix,
  dovecot: discoverDovecot,
  postgresql: discoverPostgresql,
}

/** What the receiver's verb `discover` printed, read. Pure; what it cannot read is not there. */
export function readDiscovery(kind: Discoverable, lines: readonly string[]): Discovery {
  const facts = fileFacts(lines)
  const configuration = lines.filter((line) => !/^# (file|names|real) /.test(line))
  return { kind, sites: parsers[kind](configuration, facts), facts }
}
