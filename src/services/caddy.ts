import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import type { Service } from './service.ts'

const account = 'caddy'

/**
 * Caddy 2: without --force a reload of the same configuration ends with 0 and does nothing. The test runs as Caddy does, so
 * that it sees a key that Caddy cannot read, and makes no files that Caddy cannot write.
 */
export function caddy(settings: ServiceSettings): Service {
  const config = settings.config ?? '/etc/caddy/Caddyfile'
  return {
    kind: 'caddy',
    layout: usualLayout.caddy,
    test: settings.test ?? ['runuser', '-u', account, '--', 'caddy', 'validate', '--config', config],
    ticketKeys: null,
    sealing: settings.test === undefined ? {} : null,
    reload: settings.reload ?? ['caddy', 'reload', '--force', '--config', config],
    start: settings.start ?? ['systemctl', 'start', 'caddy'],
    keyMode: '0640',
    keyOwner: `root:${account}`,
    keyReader: account,
    reloadKeepsOldOnError: true,
  }
}
