import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import type { Service } from './service.ts'

/**
 * Traefik: certificate files are read when something happens in its dynamic directory, at most every two seconds. A pair
 * that does not belong together is left out, and its own default certificate is served.
 */
export function traefik(settings: ServiceSettings): Service {
  const dynamic = settings.dynamic ?? ''
  return {
    kind: 'traefik',
    layout: usualLayout.traefik,
    // A touch of a file that is not there would end with 0, or make one.
    test: settings.test ?? ['stat', '-c', '%n', dynamic],
    ticketKeys: null,
    sealing: null,
    reload: settings.reload ?? ['touch', '-c', dynamic],
    start: settings.start ?? [],
    reloadKeepsOldOnError: false,
  }
}
