import type { ServiceKind, ServiceSettings } from '../fleet/fleet.ts'
import { apache } from './apache.ts'
import { command } from './command.ts'
import { haproxy } from './haproxy.ts'
import { nginx } from './nginx.ts'
import { none } from './none.ts'
import type { Service } from './service.ts'

const drivers: Record<ServiceKind, (settings: ServiceSettings) => Service> = { nginx, apache, haproxy, command, none }

/** The driver for a server's service, with what its fleet-file entry changes. */
export function serviceOf(settings: ServiceSettings): Service {
  return drivers[settings.kind](settings)
}
