import { execFile } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** A self-signed certificate in files, made by the openssl command. */
export interface CertificateFiles {
  readonly chain: string
  readonly key: string
  readonly combined: string
  /** SHA-256 of the leaf, lower-case hex. */
  readonly fingerprint: string
}

/** Writes chain.pem, key.pem and combined.pem into the directory; what was there is replaced. */
export async function writeCertificate(directory: string, names: readonly string[]): Promise<CertificateFiles> {
  const files = {
    chain: join(directory, 'chain.pem'),
    key: join(directory, 'key.pem'),
    combined: join(directory, 'combined.pem'),
  }
  const san = names.map((name) => `DNS:${name}`).join()
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const subject = ['-subj', `/CN=${names[0]}`, '-addext', `subjectAltName=${san}`]
  await run('openssl', ['req', '-x509', '-days', '30', ...curve, ...subject, '-keyout', files.key, '-out', files.chain])
  const certificate = await readFile(files.chain)
  await writeFile(files.combined, Buffer.concat([certificate, await readFile(files.key)]), { mode: 0o600 })
  const { fingerprint256 } = new X509Certificate(certificate)
  return { ...files, fingerprint: fingerprint256.replaceAll(':', '').toLowerCase() }
}
