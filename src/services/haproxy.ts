import type { ServiceSettings } from '../fleet/fleet.ts'
import { sealingOf } from './sealing.ts'
import type { Service } from './service.ts'

/** HAProxy by file and reload: one PEM with leaf, intermediates and key, so that no reader ever sees half a pair. */
export function haproxy(settings: ServiceSettings): Service {
  return {
    kind: 'haproxy',
    layout: settings.layout ?? 'combined',
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
    start: settings.start ?? ['systemctl', 'start', 'haproxy'],
    reloadKeepsOldOnError: true,
    ticketKeys: 'lines',
  }
}
