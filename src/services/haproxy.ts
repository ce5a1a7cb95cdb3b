import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import { sealingOf } from './sealing.ts'
import type { Service } from './service.ts'

/**
 * HAProxy: one PEM with leaf, intermediates and key, so that no reader ever sees half a pair. With the socket of its Runtime
 * API the files go into its memory, and the reload is for where that cannot be.
 */
export function haproxy(settings: ServiceSettings): Service {
  return {
    kind: 'haproxy',
    layout: settings.layout ?? usualLayout.haproxy,
    test: settings.test ?? ['haproxy', '-c', '-q', '-f', '/etc/haproxy/haproxy.cfg'],
    sealing: sealingOf(settings.test, {
      programs: ['haproxy'],
      flag: '-f',
      standard: {
        configuration: '/etc/haproxy/haproxy.cfg',
        test: ['haproxy', '-c', '-q', '-f', '/etc/haproxy/haproxy.cfg'],
      },
      includes: false,
    }),
    reload: settings.reload ?? ['systemctl', 'reload', 'haproxy'],
    ...(settings.socket !== undefined && { socket: settings.socket }),
    start: settings.start ?? ['systemctl', 'start', 'haproxy'],
    keyReader: 'root',
    reloadKeepsOldOnError: true,
    ticketKeys: 'lines',
  }
}
