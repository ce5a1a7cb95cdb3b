import type { FileLayout, ServiceKind } from './fleet.ts'

/** The files that each kind of service reads, where the fleet file does not say it. */
export const usualLayout: Readonly<Record<ServiceKind, FileLayout>> = {
  nginx: 'pair',
  apache: 'pair',
  haproxy: 'combined',
  caddy: 'pair',
  postfix: 'key-first',
  dovecot: 'pair',
  postgresql: 'pair',
  envoy: 'pair',
  traefik: 'pair',
  command: 'pair',
  none: 'pair',
}

/** Every kind that there is. */
export const serviceKinds = Object.keys(usualLayout) as readonly ServiceKind[]

/** Those that a word alone does not say: they need a setting. */
export const kindsWithSettings: readonly ServiceKind[] = ['traefik', 'command']
