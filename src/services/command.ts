import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import type { Service } from './service.ts'

/** Any other software: the fleet file says how it is tested, reloaded and started. */
export function command(settings: ServiceSettings): Service {
  return {
    kind: 'command',
    layout: settings.layout ?? usualLayout.command,
    test: settings.test ?? [],
    sealing: null,
    reload: settings.reload ?? [],
    start: settings.start ?? [],
    reloadKeepsOldOnError: false,
    ticketKeys: null,
  }
}
