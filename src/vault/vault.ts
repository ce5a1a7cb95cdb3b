import type { Dirent } from 'node:fs'
import { mkdir, readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Decrypter, Encrypter } from 'age-encryption'
import { createDurably, explainRead, explainWrite, flushDirectory, readBounded } from '../base/durable.ts'
import { fail, OnecertError, systemCode } from '../base/errors.ts'
import { Secret } from '../base/secret.ts'
import type { VaultIdentity } from './identity.ts'

/** Private keys at rest: one file a key, in age format, encrypted to the vault's identity. */
export interface Vault {
  /** Durable, and read back, before it resolves. Nothing replaces what is there: the same key again changes nothing. */
  put(lineage: string, key: Secret<string>, spki: string): Promise<void>
  /** @throws OnecertError VAULT_KEY_MISSING, VAULT_DAMAGED, VAULT_IDENTITY_WRONG */
  get(lineage: string, spki: string): Promise<Secret<string>>
  has(lineage: string, spki: string): Promise<boolean>
  list(): Promise<{ readonly lineage: string; readonly spki: string }[]>
  /** For what has no use any more; what is not there is no error. Durable before it resolves. */
  remove(lineage: string, spki: string): Promise<void>
}

const recordBytesMax = 65_536
const lineageGrammar = /^[a-z0-9][a-z0-9._-]{0,127}$/
const spkiGrammar = /^[0-9a-f]{64}$/

/** The vault in a directory (made with mode 0700). */
export function openVault(directory: string, { identity, recipient }: VaultIdentity): Vault {
  function pathOf(lineage: string, spki: string): string {
    if (!lineageGrammar.test(lineage) || !spkiGrammar.test(spki))
      fail('INTERNAL', { what: 'a name that the vault does not take' })
    return join(directory, lineage, `${spki}.age`)
  }

  async function read(lineage: string, spki: string): Promise<Secret<string>> {
    const path = pathOf(lineage, spki)
    const bytes = await readBounded(path, { bytesMax: recordBytesMax }).catch((error: unknown) => {
      if (!(error instanceof OnecertError && error.code === 'INPUT_NOT_FOUND')) throw error
      return fail('VAULT_KEY_MISSING', {
        what: `the vault has no key ${spki.slice(0, 8)} of ${lineage}`,
        fact: `${path} is not there`,
        next: `onecert renew ${lineage} --rekey`,
      })
    })
    const clear = await decrypt(bytes, path)
    // The record says what it is: files that were exchanged show.
    const head = `${lineage} ${spki}\n`
    if (!clear.startsWith(head)) damaged(path, 'it holds another key than its name says')
    return new Secret(clear.slice(head.length))
  }

  async function decrypt(bytes: Uint8Array, path: string): Promise<string> {
    const decrypter = new Decrypter()
    decrypter.addIdentity(identity.reveal())
    try {
      return await decrypter.decrypt(bytes, 'text')
    } catch (error) {
      if (error instanceof Error && error.message.includes('no identity matched')) {
        fail('VAULT_IDENTITY_WRONG', {
          what: `the vault identity does not open ${path}`,
          fact: `the identity's public key is ${recipient}`,
          state: 'nothing was changed',
          next: 'name the identity that this vault was made with: onecert --identity FILE …',
        })
      }
      return damaged(path, 'its authentication failed')
    }
  }

  async function has(lineage: string, spki: string): Promise<boolean> {
    return read(lineage, spki).then(
      () => true,
      (error: unknown) => {
        if (error instanceof OnecertError && error.code === 'VAULT_KEY_MISSING') return false
        throw error
      },
    )
  }

  return {
    get: read,
    has,
    async put(lineage, key, spki) {
      if (await has(lineage, spki)) return
      const path = pathOf(lineage, spki)
      const encrypter = new Encrypter()
      encrypter.addRecipient(recipient)
      const bytes = await encrypter.encrypt(`${lineage} ${spki}\n${key.reveal()}`)
      await mkdir(join(directory, lineage), { recursive: true, mode: 0o700 }).catch(async (error) => {
        throw await explainWrite(error, path)
      })
      const created = await createDurably(path, bytes, { mode: 0o600 })
      await flushDirectory(directory)
      if (created && (await read(lineage, spki)).reveal() !== key.reveal())
        damaged(path, 'what was read back is not what was written')
    },
    async list() {
      const lineages = (await entriesOf(directory)).filter((entry) => entry.isDirectory())
      const found = await Promise.all(
        lineages.map(async ({ name: lineage }) =>
          (await entriesOf(join(directory, lineage)))
            .map(({ name }) => ({ lineage, spki: name.endsWith('.age') ? name.slice(0, -'.age'.length) : '' }))
            .filter(({ spki }) => spkiGrammar.test(spki)),
        ),
      )
      return found.flat()
    },
    async remove(lineage, spki) {
      const path = pathOf(lineage, spki)
      try {
        await rm(path, { force: true })
        await flushDirectory(dirname(path))
      } catch (error) {
        if (systemCode(error) !== 'ENOENT') throw await explainWrite(error, path)
      }
    },
  }
}

/** Only a directory that is not there has no keys: what cannot be read must not pass for empty. */
async function entriesOf(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true })
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return []
    throw await explainRead(error, directory)
  }
}

function damaged(path: string, fact: string): never {
  fail('VAULT_DAMAGED', {
    what: `the vault file ${path} is damaged`,
    fact,
    state: 'nothing was changed; the servers go on serving what they have',
    next: 'put the backup of this file back, or make a new key: onecert renew CERTIFICATE --rekey',
  })
}
