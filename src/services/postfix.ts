import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import type { Service } from './service.ts'

/**
 * Postfix 3.4 and newer, with smtpd_tls_chain_files: the key has to stand before its leaf. With a file that it cannot take,
 * smtpd goes on without TLS; neither check nor reload say so.
 */
export function postfix(settings: ServiceSettings): Service {
  return {
    kind: 'postfix',
    layout: settings.layout ?? usualLayout.postfix,
    test: settings.test ?? ['postfix', 'check'],
    ticketKeys: null,
    sealing: null,
    reload: settings.reload ?? ['postfix', 'reload'],
    start: settings.start ?? ['systemctl', 'start', 'postfix'],
    keyReader: 'root',
    reloadKeepsOldOnError: false,
  }
}
