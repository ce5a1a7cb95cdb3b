import { createHash, createHmac, type KeyObject, randomBytes } from 'node:crypto'
import { fail, OnecertError, quote } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'
import { parseCertificate, type X509 } from './certificate.ts'
import {
  type Der,
  integer,
  members,
  nothing,
  number,
  objectId,
  octetString,
  octets,
  oid,
  readDer,
  sequence,
  writeDer,
} from './der.ts'
import { checkSize, derLabel } from './input.ts'
import { readPkcs8, spkiOf } from './key.ts'
import {
  encryptLegacy,
  encryptModern,
  newRoundBudget,
  noPassword,
  type PasswordBytes,
  PbeError,
  passwordBytes,
  pkcs12Kdf,
  type RoundBudget,
} from './pbe.ts'
import type { InputName } from './pem.ts'
import { authenticatedSafe, dataInfo, openSafe, type SafeContents, safeContent } from './safe.ts'
import { counted, importHints, withArticle } from './text.ts'

const digests: Record<string, string> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

/**
 * Key and certificates of a PKCS#12 container (RFC 7292), the key's certificate first; modern (AES) and legacy (3DES, RC2) encryption.
 * Fails with INPUT_TOO_LARGE, PEM_EMPTY, PEM_WRONG_KIND, P12_IS_PEM, P12_DAMAGED, P12_PASSWORD_NEEDED, P12_PASSWORD_WRONG, P12_NO_KEY,
 * P12_LEGACY (an algorithm that we cannot read) or KEY_UNSUPPORTED.
 */
export function readPkcs12(
  bytes: Uint8Array,
  { file, password }: InputName & { password?: Secret<string> },
): { key: Secret<KeyObject>; certificates: X509[] } {
  checkForm(bytes, file)
  try {
    return chosen(open(bytes, file, password), file)
  } catch (thrown) {
    if (thrown instanceof OnecertError) throw thrown
    if (thrown instanceof PbeError && thrown.reason === 'wrong-password') return refusePassword(file, password)
    if (thrown instanceof PbeError && thrown.reason === 'unsupported') return refuseAlgorithm(file, thrown.message)
    const costly = thrown instanceof PbeError
    return damaged(
      file,
      costly
        ? `it asks for too much work: ${thrown.message}`
        : 'its structure stops or breaks off: the file is cut short or altered',
    )
  }
}

function checkForm(bytes: Uint8Array, file: string): void {
  checkSize(bytes, { file })
  const name = quote(file)
  if (Buffer.from(bytes).includes('-----BEGIN ')) {
    fail('P12_IS_PEM', {
      what: `${name} is no PKCS#12 container`,
      fact: 'it holds PEM text, whatever its name says',
      next: importHints.pem,
    })
  }
  const label = derLabel(bytes)
  if (label === 'PKCS12') return
  if (label === 'DATA') damaged(file, 'its structure stops or breaks off: the file is cut short or altered')
  fail('PEM_WRONG_KIND', {
    what: `${name} is no PKCS#12 container`,
    fact: `it is ${withArticle(label)}, expected PKCS12`,
    next: importHints.pem,
  })
}

/** Section 4: PFX { version, authSafe, macData }. */
function open(bytes: Uint8Array, file: string, password: Secret<string> | undefined): SafeContents {
  const [, authSafe, macData] = members(readDer(bytes))
  const content = safeContent(authSafe)
  const budget = newRoundBudget()
  const empty = password === undefined || password.reveal() === ''
  // Writers disagree on what "no password" is: zero bytes, or an empty string with its terminator.
  const candidates = empty ? [passwordBytes(new Secret('')), noPassword] : [passwordBytes(password)]
  const right = macData ? candidates.find((each) => macAgrees(macData, content, each, budget)) : candidates[0]
  if (!right) return refusePassword(file, password)
  return openSafe(
    content,
    right,
    budget,
    (der) => parseCertificate(der, { file }),
    (der) => readPkcs8(der, quote(file)),
  )
}

function macAgrees(macData: Der, content: Uint8Array, password: PasswordBytes, budget: RoundBudget): boolean {
  const [info, salt, rounds] = members(macData)
  const [algorithm, expected] = members(info)
  const name = oid(members(algorithm)[0])
  const digest = digests[name]
  if (!digest) throw new PbeError('unsupported', `integrity check ${name}`)
  const count = rounds ? integer(rounds) : 1
  return mac(digest, content, password, octets(salt), count, budget).equals(octets(expected))
}

function mac(
  digest: string,
  content: Uint8Array,
  password: PasswordBytes,
  salt: Uint8Array,
  rounds: number,
  budget: RoundBudget,
) {
  const length = createHash(digest).digest().length
  return createHmac(digest, pkcs12Kdf(digest, 3, password.bmp, salt, rounds, length, budget))
    .update(content)
    .digest()
}

function chosen({ keys, certificates }: SafeContents, file: string): { key: Secret<KeyObject>; certificates: X509[] } {
  const [key] = keys
  if (!key) {
    fail('P12_NO_KEY', {
      what: `${quote(file)} holds no private key`,
      fact: `it contains ${counted(certificates.length, 'certificate')}, no key`,
      next: 'export it again "with private key"',
    })
  }
  if (keys.length > 1) {
    fail('KEY_UNSUPPORTED', {
      what: `${quote(file)} holds ${keys.length} private keys`,
      fact: 'expected exactly one',
      next: 'export only the entry of this certificate',
    })
  }
  const spki = spkiOf(key)
  const own = (certificate: X509) => certificate.spki === spki && !certificate.isCa
  return { key, certificates: [...certificates.filter(own), ...certificates.filter((each) => !own(each))] }
}

function refusePassword(file: string, password: Secret<string> | undefined): never {
  if (password) {
    fail('P12_PASSWORD_WRONG', {
      what: `the password does not open ${quote(file)}`,
      fact: 'its integrity check fails with this password',
      next: 'check the passphrase file: no space or second line belongs to it',
    })
  }
  fail('P12_PASSWORD_NEEDED', {
    what: `${quote(file)} is protected with a password`,
    fact: 'none was given, and the empty one does not open it',
    next: importHints.passphrase,
  })
}

function refuseAlgorithm(file: string, fact: string): never {
  const name = quote(file)
  fail('P12_LEGACY', {
    what: `${name} is protected in a way that cannot be read`,
    fact,
    next: `convert it: openssl pkcs12 -legacy -in ${name} -out all.pem, then give that: import: { certificate: all.pem, key: all.pem }`,
  })
}

function damaged(file: string, fact: string): never {
  fail('P12_DAMAGED', { what: `${quote(file)} is damaged`, fact, next: 'export or copy the whole file again' })
}

/** Chosen so that a password guess costs some 50 ms; the readers of the legacy format are old and slow. */
const rounds = { modern: 50_000, legacy: 2048 }

/**
 * A container that `openssl pkcs12`, Windows and Java read. `modern`: AES-256-CBC and SHA-256. `legacy`: 3DES and SHA-1, for Windows before
 * 2019 and Java before 8u301; no protection worth the name. `chain`: leaf first.
 */
export function writePkcs12(content: {
  readonly key: Secret<KeyObject>
  readonly chain: readonly X509[]
  readonly password: Secret<string>
  readonly friendlyName?: string
  readonly format?: 'modern' | 'legacy'
}): Uint8Array {
  const { format = 'modern' } = content
  const password = passwordBytes(content.password)
  const encrypt = format === 'modern' ? encryptModern : encryptLegacy
  const safe = authenticatedSafe(content, (data) => encrypt(data, password, rounds[format]))
  const salt = randomBytes(format === 'modern' ? 16 : 8)
  const digest = format === 'modern' ? 'sha256' : 'sha1'
  const algorithm = Object.entries(digests).find(([, name]) => name === digest)?.[0] ?? ''
  const check = mac(digest, safe, password, salt, rounds[format], newRoundBudget())
  const info = sequence(sequence(objectId(algorithm), nothing()), octetString(check))
  return writeDer(sequence(number(3), dataInfo(safe), sequence(info, octetString(salt), number(rounds[format]))))
}
