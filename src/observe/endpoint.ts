import type { KeyKind } from '../fleet/fleet.ts'

/** Where a certificate is looked at. */
export interface Endpoint {
  readonly address: string
  readonly port: number
  /** Sent as SNI. */
  readonly name: string
  /** As a client that takes only certificates of this kind; absent: of both. */
  readonly keyKind?: KeyKind
}

export function endpointText({ address, port, name }: Endpoint): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port} (${name})`
}

/** A wildcard is no host name: some name below it stands for it. */
export function probedName(siteName: string): string {
  return siteName.startsWith('*.') ? `onecert-probe${siteName.slice(1)}` : siteName
}
