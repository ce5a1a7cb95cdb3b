import { connect } from 'node:tls'
import { measure } from './measure.ts'

/** As the documentation shows it. */
await measure(
  (host, port, servername) =>
    new Promise((resolve, reject) => {
      const socket = connect({ host, port, servername, rejectUnauthorized: false }, () => {
        resolve(socket.getPeerCertificate(true).fingerprint256.replaceAll(':', '').toLowerCase())
        socket.destroy()
      })
      socket.on('error', reject)
    }),
)
