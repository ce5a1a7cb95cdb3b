import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import { sealingOf } from './sealing.ts'
import type { Service } from './service.ts'

/** nginx: a HUP with a bad pair exits 0 and keeps the old configuration, so `-t` comes first and only verify decides. */
export function nginx(settings: ServiceSettings): Service {
  return {
    kind: 'nginx',
    layout: settings.layout ?? usualLayout.nginx,
    test: settings.test ?? ['nginx', '-t'],
    sealing: sealingOf(settings.test, {
      programs: ['nginx'],
      flag: '-c',
      standard: { configuration: '/etc/nginx', test: ['nginx', '-t', '-c', '/etc/nginx/nginx.conf'] },
      includes: true,
    }),
    reload: settings.reload ?? ['nginx', '-s', 'reload'],
    start: settings.start ?? ['systemctl', 'start', 'nginx'],
    keyReader: 'root',
    reloadKeepsOldOnError: true,
    ticketKeys: 'files',
  }
}
