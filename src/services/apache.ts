import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import { sealingOf } from './sealing.ts'
import type { Service } from './service.ts'

/**
 * Apache 2.4: its test says "Syntax OK" to a mismatched pair, and a graceful restart with one ends the parent process.
 * It has one session ticket key: with a new one, no earlier session resumes (docs/adr/0016-ticket-keys.md).
 */
export function apache(settings: ServiceSettings): Service {
  return {
    kind: 'apache',
    layout: settings.layout ?? usualLayout.apache,
    test: settings.test ?? ['apachectl', 'configtest'],
    sealing: sealingOf(settings.test, {
      programs: ['apachectl', 'apache2ctl', 'apache2', 'httpd'],
      flag: '-f',
      standard: {
        configuration: '/etc/apache2',
        test: ['apachectl', '-t', '-d', '/etc/apache2', '-f', '/etc/apache2/apache2.conf'],
      },
      includes: true,
    }),
    reload: settings.reload ?? ['apachectl', '-k', 'graceful'],
    start: settings.start ?? ['systemctl', 'start', 'apache2'],
    keyReader: 'root',
    reloadKeepsOldOnError: false,
    ticketKeys: null,
  }
}
