import type { ServiceKind } from '../fleet/fleet.ts'

/** Where the session ticket keys of a lineage lie on a server: a link to the set in use. */
export function ticketsPath(server: { readonly directory: string }, lineage: string): string {
  return `${server.directory}/${lineage}/tickets`
}

/**
 * What a service's configuration says so that it reads the ticket keys there; empty where it cannot. nginx: directives of
 * the `http` block (it takes those of the default server of a port for all names there); HAProxy: words of the `bind` line.
 */
export function ticketDirectives(kind: ServiceKind, path: string): string[] {
  if (kind === 'haproxy') return [`tls-ticket-keys ${path}/tickets.keys`]
  if (kind !== 'nginx') return []
  // The first one encrypts, all decrypt.
  return ['current', 'previous', 'next'].map((name) => `ssl_session_ticket_key ${path}/${name}.key;`)
}
