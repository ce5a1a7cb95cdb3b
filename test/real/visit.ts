import { X509Certificate } from 'node:crypto'
import { request } from 'node:https'
import type { TLSSocket } from 'node:tls'

/** A new connection for each visit; nothing is resumed, nothing is verified. */
export function visit(
  { address, port }: { readonly address: string; readonly port: number },
  name: string,
  path = '/',
) {
  return new Promise<{ fingerprint: string; body: string }>((resolve, reject) => {
    let fingerprint = ''
    const options = {
      host: address,
      port,
      path,
      servername: name,
      headers: { host: name },
      rejectUnauthorized: false,
      agent: false,
    } as const
    const sent = request(options, (response) => {
      let body = ''
      response.setEncoding('utf8').on('data', (text: string) => {
        body += text
      })
      response.on('end', () => resolve({ fingerprint, body }))
    })
    sent
      .on('socket', (socket) => {
        socket.once('secureConnect', () => {
          const { raw } = (socket as TLSSocket).getPeerCertificate()
          fingerprint = new X509Certificate(raw).fingerprint256.replaceAll(':', '').toLowerCase()
        })
      })
      .setTimeout(5_000, () => sent.destroy(new Error(`${address}:${port} says nothing`)))
      .on('error', reject)
      .end()
  })
}
