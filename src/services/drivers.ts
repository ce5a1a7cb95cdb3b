import type { ServiceKind, ServiceSettings } from '../fleet/fleet.ts'
import { apache } from './apache.ts'
import { caddy } from './caddy.ts'
import { command } from './command.ts'
import { dovecot } from './dovecot.ts'
import { envoy } from './envoy.ts'
import { haproxy } from './haproxy.ts'
import { nginx } from './nginx.ts'
import { none } from './none.ts'
import { postfix } from './postfix.ts'
import { postgresql } from './postgresql.ts'
import type { Service } from './service.ts'
import { traefik } from './traefik.ts'

const drivers: Record<ServiceKind, (settings: ServiceSettings) => Service> = {
  nginx,
  apache,
  haproxy,
  caddy,
  postfix,
  dovecot,
  postgresql,
  envoy,
  traefik,
  command,
  none,
}

/** The driver for a server's service, with what its fleet-file entry changes. */
export function serviceOf(settings: ServiceSettings): Service {
  return drivers[settings.kind](settings)
}
