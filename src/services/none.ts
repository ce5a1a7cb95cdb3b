import type { ServiceSettings } from '../fleet/fleet.ts'
import { usualLayout } from '../fleet/layout.ts'
import type { Service } from './service.ts'

/** An upstream: a server that terminates no TLS of ours, and is looked at only. */
export function none(_: ServiceSettings): Service {
  return {
    kind: 'none',
    layout: usualLayout.none,
    test: [],
    reload: [],
    start: [],
    sealing: null,
    reloadKeepsOldOnError: true,
    ticketKeys: null,
  }
}
