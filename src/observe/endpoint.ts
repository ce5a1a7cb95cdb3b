import type { KeyKind, Listener, Placement } from '../fleet/fleet.ts'
import { bracketed } from '../pki/names.ts'

/** Where a certificate is looked at. */
export interface Endpoint extends Listener {
  readonly address: string
  /** Sent as SNI; empty: none is sent, as by a client that knows only the address. */
  readonly name: string
  /** As a client that takes only certificates of this kind; absent: of both. */
  readonly keyKind?: KeyKind
}

/** Each name at each address and port of a server, and no name where that is to show the same. */
export function endpointsOf({ server, names, withoutSni, keyKind }: Placement): Endpoint[] {
  return [...names, ...(withoutSni ? [''] : [])].flatMap((name) =>
    server.addresses.flatMap((address) =>
      server.listeners.map((listener) => ({ ...listener, address, name, ...(keyKind && { keyKind }) })),
    ),
  )
}

/** It identifies an endpoint too. */
export function endpointText({ address, port, name }: Endpoint): string {
  return `${bracketed(address)}:${port} (${name || 'no name'})`
}

/** What is sent as SNI; undefined: none. */
export function serverNameOf({ name }: Endpoint): string | undefined {
  return name === '' ? undefined : probedName(name)
}

/** A wildcard is no host name: some name below it stands for it. */
export function probedName(siteName: string): string {
  return siteName.startsWith('*.') ? `onecert-probe${siteName.slice(1)}` : siteName
}
