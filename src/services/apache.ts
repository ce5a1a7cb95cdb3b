import type { ServiceSettings } from '../fleet/fleet.ts'
import type { Service } from './service.ts'

/**
 * Apache 2.4: its test says "Syntax OK" to a mismatched pair, and a graceful restart with one ends the parent process.
 * It reads one session ticket key, and a new one only at a restart, which ends connections.
 */
export function apache(settings: ServiceSettings): Service {
  return {
    kind: 'apache',
    layout: settings.layout ?? 'pair',
    test: settings.test ?? ['apachectl', 'configtest'],
    reload: settings.reload ?? ['apachectl', '-k', 'graceful'],
    start: settings.start ?? ['systemctl', 'start', 'apache2'],
    reloadKeepsOldOnError: false,
    ticketKeys: null,
  }
}
