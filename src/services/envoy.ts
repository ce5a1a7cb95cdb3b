import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import type { Service } from './service.ts'

/** Envoy with SDS files: the rename of `current` is the move in the watched directory that makes it read the pair again. */
export function envoy(settings: ServiceSettings): Service {
  return {
    kind: 'envoy',
    layout: usualLayout.envoy,
    test: settings.test ?? [],
    ticketKeys: null,
    sealing: null,
    reload: settings.reload ?? [],
    start: settings.start ?? [],
    reloadKeepsOldOnError: true,
  }
}
