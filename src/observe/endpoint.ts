import type { KeyKind, Listener, Placement } from '../fleet/fleet.ts'

/** Where a certificate is looked at. */
export interface Endpoint extends Listener {
  readonly address: string
  /** Sent as SNI. */
  readonly name: string
  /** As a client that takes only certificates of this kind; absent: of both. */
  readonly keyKind?: KeyKind
}

/** Each name at each port of a server. */
export function endpointsOf({ server, names, keyKind }: Placement): Endpoint[] {
  return names.flatMap((name) =>
    server.listeners.map((listener) => ({ ...listener, address: server.address, name, ...(keyKind && { keyKind }) })),
  )
}

/** It identifies an endpoint too. */
export function endpointText({ address, port, name }: Endpoint): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port} (${name})`
}

/** A wildcard is no host name: some name below it stands for it. */
export function probedName(siteName: string): string {
  return siteName.startsWith('*.') ? `onecert-probe${siteName.slice(1)}` : siteName
}
