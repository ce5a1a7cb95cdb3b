import { isIPv6 } from 'node:net'
import { addressBytes } from '../dns/address.ts'
import type { ProxyProtocol } from '../fleet/fleet.ts'

/** The ends of a connection, where they are known. */
export interface Ends {
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
}

const signature = Buffer.from([0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a])

/**
 * The header of the PROXY protocol (HAProxy's proxy-protocol.txt, sections 2.1 and 2.2) that names ourselves as the client.
 * Where the ends are not known: UNKNOWN, or the command LOCAL, which a server takes as a look by the balancer itself.
 */
export function proxyHeader(version: ProxyProtocol, ends: Ends): Buffer {
  const { localAddress, localPort, remoteAddress, remotePort } = ends
  const known =
    localAddress !== undefined && localPort !== undefined && remoteAddress !== undefined && remotePort !== undefined
  const six = known && isIPv6(remoteAddress)
  if (version === 'v1') {
    if (!known) return Buffer.from('PROXY UNKNOWN\r\n')
    return Buffer.from(`PROXY TCP${six ? 6 : 4} ${localAddress} ${remoteAddress} ${localPort} ${remotePort}\r\n`)
  }
  if (!known) return Buffer.concat([signature, Buffer.from([0x20, 0x00, 0, 0])])
  const ports = Buffer.alloc(4)
  ports.writeUInt16BE(localPort, 0)
  ports.writeUInt16BE(remotePort, 2)
  const body = Buffer.concat([addressBytes(localAddress), addressBytes(remoteAddress), ports])
  // Version 2, command PROXY; TCP over IPv4 or IPv6.
  return Buffer.concat([signature, Buffer.from([0x21, six ? 0x21 : 0x11, 0, body.length]), body])
}
