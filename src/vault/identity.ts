import type { Stats } from 'node:fs'
import { dirname } from 'node:path'
import { armor, Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption'
import { createDurably, explainWrite, makeDirectory, readBounded } from '../base/durable.ts'
import { fail, OnecertError } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'

/** What opens the vault. The recipient is public: with it alone the vault can be written, not read. */
export interface VaultIdentity {
  readonly identity: Secret<string>
  readonly recipient: string
}

const identityBytesMax = 16_384
/** log2 of scrypt's cost: about a second here, for each guess as well (RFC 7914; the age format's own default). */
const scryptWorkFactor = 18

/**
 * Makes an age identity in a file of mode 0600; with a passphrase the file itself is encrypted (age, scrypt).
 * @throws OnecertError CONFIG_EXISTS, STATE_NOT_WRITABLE, STATE_DISK_FULL
 */
export async function createIdentity(
  path: string,
  { passphrase, now = new Date() }: { readonly passphrase?: Secret<string>; readonly now?: Date } = {},
): Promise<VaultIdentity> {
  const identity = await generateX25519Identity()
  const recipient = await identityToRecipient(identity)
  const text = `# created: ${now.toISOString()}\n# public key: ${recipient}\n${identity}\n`
  await makeDirectory(dirname(path)).catch(async (error) => {
    throw await explainWrite(error, path)
  })
  const bytes = Buffer.from(passphrase ? await lock(text, passphrase) : text)
  if (!(await createDurably(path, bytes, { mode: 0o600 }))) {
    fail('CONFIG_EXISTS', {
      what: `${path} is there already`,
      state: 'it was left as it is: a vault that it opens would be lost without it',
      next: 'move it away if you are sure, or name another with --identity',
    })
  }
  return { identity: new Secret(identity), recipient }
}

async function lock(text: string, passphrase: Secret<string>): Promise<string> {
  const encrypter = new Encrypter()
  encrypter.setScryptWorkFactor(scryptWorkFactor)
  encrypter.setPassphrase(passphrase.reveal())
  return armor.encode(await encrypter.encrypt(text))
}

/**
 * Reads an identity file; the passphrase is asked for only where the file is encrypted.
 * @throws OnecertError VAULT_MISSING, VAULT_IDENTITY_OPEN, VAULT_IDENTITY_WRONG, VAULT_PASSPHRASE_WRONG
 */
export async function openIdentity(
  path: string,
  { passphrase }: { readonly passphrase: () => Promise<Secret<string>> },
): Promise<VaultIdentity> {
  const text = await readIdentity(path)
  const clear = text.startsWith('-----BEGIN AGE ENCRYPTED FILE-----')
    ? await unlock(path, text, await passphrase())
    : text
  const identity = clear.split('\n').find((line) => line.startsWith('AGE-SECRET-KEY-1'))
  try {
    if (!identity) throw new Error('no identity line')
    return { identity: new Secret(identity.trim()), recipient: await identityToRecipient(identity.trim()) }
  } catch {
    fail('VAULT_IDENTITY_WRONG', {
      what: `${path} holds no age identity`,
      fact: 'a line that begins with AGE-SECRET-KEY-1 is wanted',
      state: 'the vault was not opened',
      next: 'put the backup of this file back, or name another with --identity',
    })
  }
}

async function readIdentity(path: string): Promise<string> {
  const admit = ({ mode }: Stats) => {
    if ((mode & 0o077) === 0) return
    fail('VAULT_IDENTITY_OPEN', {
      what: `the vault identity ${path} can be read by others`,
      fact: `its mode is ${(mode & 0o777).toString(8).padStart(4, '0')}, 0600 is wanted`,
      state: 'the vault was not opened',
      next: `chmod 0600 ${path}`,
    })
  }
  try {
    return Buffer.from(await readBounded(path, { bytesMax: identityBytesMax, admit })).toString('utf8')
  } catch (error) {
    if (!(error instanceof OnecertError && error.code === 'INPUT_NOT_FOUND')) throw error
    return fail('VAULT_MISSING', {
      what: `there is no vault identity at ${path}`,
      state: 'no key can be read or stored',
      next: 'onecert init, or name it with --identity',
    })
  }
}

async function unlock(path: string, text: string, passphrase: Secret<string>): Promise<string> {
  try {
    const decrypter = new Decrypter()
    decrypter.addPassphrase(passphrase.reveal())
    return await decrypter.decrypt(armor.decode(text), 'text')
  } catch {
    throw new OnecertError('VAULT_PASSPHRASE_WRONG', {
      what: `the passphrase does not open ${path}`,
      state: 'the vault was not opened',
      next: 'run the command again with the right passphrase',
    })
  }
}
