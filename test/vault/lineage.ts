import { createHash, randomBytes } from 'node:crypto'
import { Secret } from '../../src/base/secret.ts'

/** A text with the form of a private key, and the name that the vault gives it. */
export function madeUpKey(): { readonly key: Secret<string>; readonly spki: string } {
  const body = randomBytes(138).toString('base64').replace(/.{64}/g, '$&\n')
  const pem = `-----BEGIN PRIVATE KEY-----\n${body}\n-----END PRIVATE KEY-----\n`
  return { key: new Secret(pem), spki: createHash('sha256').update(pem).digest('hex') }
}
