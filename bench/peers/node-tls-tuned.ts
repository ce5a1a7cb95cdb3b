import { connect, createSecureContext } from 'node:tls'
import { measure } from './measure.ts'

/** One context for all, no roots to build a chain with, one key share that is cheap, and the leaf alone. */
const secureContext = createSecureContext({ minVersion: 'TLSv1.2', ca: [], ecdhCurve: 'X25519:prime256v1' })

await measure(
  (host, port, servername) =>
    new Promise((resolve, reject) => {
      const socket = connect({ host, port, servername, rejectUnauthorized: false, secureContext }, () => {
        resolve(socket.getPeerX509Certificate()?.fingerprint256.replaceAll(':', '').toLowerCase() ?? '')
        socket.destroy()
      })
      socket.on('error', reject)
    }),
)
