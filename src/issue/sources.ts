import { readdir, realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Issuer } from '../fleet/fleet.ts'

/**
 * The files and folders of this machine from which an issuer takes private keys in clear; with those that links in them lead
 * to: certbot's live/NAME is links into archive/NAME.
 */
export async function sourcesOf(issuer: Issuer): Promise<string[]> {
  switch (issuer.kind) {
    case 'import-pem': {
      const files = [issuer.certificate, issuer.key].flatMap((path) => path ?? [])
      return [...files, ...(await Promise.all(files.map(followed)))]
    }
    case 'watch': {
      const names = await readdir(issuer.directory).catch(() => [])
      const files = await Promise.all(names.map((name) => followed(join(issuer.directory, name))))
      return [...new Set([issuer.directory, ...files.map(dirname)])]
    }
    default:
      return []
  }
}

/** What is not there leads nowhere else. */
function followed(path: string): Promise<string> {
  return realpath(path).catch(() => path)
}
