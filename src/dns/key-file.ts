import { quote } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'
import { credentialBad, readCredential } from './credential.ts'
import { sameName } from './message.ts'
import { type TsigAlgorithm, type TsigKey, tsigAlgorithms } from './tsig.ts'

export interface KeyFileSettings {
  readonly file: string
  /** Needed where the file holds only the secret, or several keys. */
  readonly keyName?: string
  /** Of a file with only the secret; default: hmac-sha256. */
  readonly algorithm?: TsigAlgorithm
}

/** RFC 8945 section 8 wants as many bytes as the hash has; fewer than these are refused. */
const secretBytesMin = 16
const makeOne = 'make one with: tsig-keygen -a hmac-sha256 NAME'

/**
 * A TSIG key from a file of BIND (`key "name" { algorithm hmac-sha256; secret "…"; };`), or from one that holds only the
 * secret in Base64.
 * @throws OnecertError DNS_CREDENTIAL_BAD, DNS_CREDENTIAL_OPEN, INPUT_NOT_FOUND and what else {@link readCredential} throws
 */
export async function readTsigKey({ file, keyName, algorithm }: KeyFileSettings): Promise<TsigKey> {
  const text = (await readCredential(file)).reveal()
  const statements = keyStatements(text)
  if (statements.length === 0) {
    if (keyName === undefined) credentialBad(file, 'it has no key statement, and no key name is given', makeOne)
    return { name: keyName, algorithm: algorithm ?? 'hmac-sha256', secret: secretOf(file, text.trim()) }
  }
  const chosen = statements.filter(({ name }) => keyName === undefined || sameName(name, keyName))
  const [only] = chosen
  if (only === undefined || chosen.length > 1) {
    const names = statements.map(({ name }) => quote(name)).join(', ')
    credentialBad(file, `it has the keys ${names}`, 'give the name of one of them as key name')
  }
  const { name, body } = only
  const named = /\balgorithm\s+"?([\w.-]+?)\.?"?\s*;/i.exec(body)?.[1]?.toLowerCase() ?? ''
  if (!isAlgorithm(named)) {
    const known = Object.keys(tsigAlgorithms).join(', ')
    credentialBad(file, `its algorithm is ${named === '' ? 'not there' : quote(named)}; ${known} are taken`, makeOne)
  }
  return { name, algorithm: named, secret: secretOf(file, /\bsecret\s+"?([^";\s]+)"?\s*;/i.exec(body)?.[1] ?? '') }
}

function keyStatements(text: string): { name: string; body: string }[] {
  // Comments of named.conf; Base64 has `//` in it too, so they begin a line or follow a space.
  const bare = text.replaceAll(/\/\*[\s\S]*?\*\//g, ' ').replaceAll(/(^|\s)(\/\/|#).*$/gm, ' ')
  return [...bare.matchAll(/\bkey\s+"?([^"\s{;]+)"?\s*\{([^{}]*)\}/gi)].map(([, name = '', body = '']) => ({
    name: name.replace(/\.$/, ''),
    body,
  }))
}

function isAlgorithm(word: string): word is TsigAlgorithm {
  return Object.hasOwn(tsigAlgorithms, word)
}

function secretOf(file: string, text: string): Secret<Buffer> {
  const bytes = Buffer.from(text, 'base64')
  // Buffer.from passes over what is no Base64.
  if (text === '' || bytes.toString('base64').replace(/=+$/, '') !== text.replace(/=+$/, '')) {
    credentialBad(file, 'the secret is not there, or not Base64', makeOne)
  }
  if (bytes.length < secretBytesMin) {
    credentialBad(file, `the secret has ${bytes.length} bytes, ${secretBytesMin} are wanted at least`, makeOne)
  }
  return new Secret(bytes)
}
