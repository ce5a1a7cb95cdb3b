import type { Stats } from 'node:fs'
import { readBounded } from '../base/durable.ts'
import { fail } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'

const credentialBytesMax = 64 * 1024

/**
 * A key or token from a file. The group may read it: that is how a name server and its tools share a key, and how
 * systemd hands out credentials.
 * @throws OnecertError DNS_CREDENTIAL_OPEN, INPUT_NOT_FOUND, INPUT_UNREADABLE, INPUT_NOT_A_FILE, INPUT_TOO_LARGE
 */
export async function readCredential(file: string): Promise<Secret<string>> {
  const admit = ({ mode }: Stats) => {
    if ((mode & 0o027) === 0) return
    fail('DNS_CREDENTIAL_OPEN', {
      what: `${file} can be read or written by others`,
      fact: `its mode is ${(mode & 0o777).toString(8).padStart(4, '0')}, 0600 or 0640 is wanted`,
      state: 'it was not read',
      next: `chmod 0600 ${file}, and make a new key or token: others may have this one`,
    })
  }
  return new Secret(Buffer.from(await readBounded(file, { bytesMax: credentialBytesMax, admit })).toString('utf8'))
}

/** Never with a piece of the file in it. */
export function credentialBad(file: string, fact: string, next: string): never {
  fail('DNS_CREDENTIAL_BAD', { what: `${file} holds no usable credential`, fact, state: 'nothing was sent', next })
}

/** A file that holds one word. */
export async function readToken(file: string): Promise<Secret<string>> {
  const token = (await readCredential(file)).reveal().trim()
  // RFC 6750 section 2.1: what may stand in an Authorization header.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    credentialBad(file, 'a token is one line without spaces', 'put the token, and nothing else, into the file')
  }
  return new Secret(token)
}
