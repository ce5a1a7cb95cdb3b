import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import type { Service } from './service.ts'

/**
 * PostgreSQL: a reload ends with 0 also where the new files are not taken and the old pair stays; only verify sees it. A key
 * of root may be read by the group of the server, and by nobody else.
 */
export function postgresql(settings: ServiceSettings): Service {
  const cluster = settings.cluster?.split('/')
  return {
    kind: 'postgresql',
    layout: usualLayout.postgresql,
    test: settings.test ?? [],
    ticketKeys: null,
    sealing: null,
    reload:
      settings.reload ?? (cluster ? ['pg_ctlcluster', ...cluster, 'reload'] : ['systemctl', 'reload', 'postgresql']),
    start: settings.start ?? (cluster ? ['pg_ctlcluster', ...cluster, 'start'] : ['systemctl', 'start', 'postgresql']),
    keyMode: '0640',
    keyOwner: 'root:postgres',
    keyReader: 'postgres',
    keyRefusal,
    reloadKeepsOldOnError: true,
  }
}

/** As its check_ssl_key_file_permissions has it. */
function keyRefusal({ mode, user }: { readonly mode: number; readonly user: string }): string | null {
  const most = user === 'root' ? 0o640 : 0o600
  if ((mode & ~most & 0o077) === 0) return null
  return `PostgreSQL takes no key of ${user} that is open wider than 0${most.toString(8)}`
}
