/** Where a certificate is looked at. */
export interface Endpoint {
  readonly address: string
  readonly port: number
  /** Sent as SNI. */
  readonly name: string
}

export function endpointText({ address, port, name }: Endpoint): string {
  return `${address.includes(':') ? `[${address}]` : address}:${port} (${name})`
}

/** A wildcard is no host name: some name below it stands for it. */
export function probedName(siteName: string): string {
  return siteName.startsWith('*.') ? `onecert-probe${siteName.slice(1)}` : siteName
}
