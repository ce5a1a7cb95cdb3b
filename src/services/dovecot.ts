import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import type { Service } from './service.ts'

/** Dovecot: its test does not open the files, and after a reload with a mismatched pair it refuses every handshake. */
export function dovecot(settings: ServiceSettings): Service {
  return {
    kind: 'dovecot',
    layout: usualLayout.dovecot,
    test: settings.test ?? ['doveconf', '-n'],
    ticketKeys: null,
    sealing: null,
    reload: settings.reload ?? ['doveadm', 'reload'],
    start: settings.start ?? ['systemctl', 'start', 'dovecot'],
    keyReader: 'root',
    reloadKeepsOldOnError: false,
  }
}
