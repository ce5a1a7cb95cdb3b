import { createHash } from 'node:crypto'
import { openIdentity } from '../../src/vault/identity.ts'
import { openVault } from '../../src/vault/vault.ts'
import { madeUpKey } from './lineage.ts'

/** Puts new keys for ever; each line is a lineage, an SPKI and the hash of the key that is stored by now. */
async function putForEver(directory: string, identityFile: string): Promise<never> {
  const passphrase = () => Promise.reject(new Error('not encrypted'))
  const vault = openVault(directory, await openIdentity(identityFile, { passphrase }))
  for (let number = 0; ; number++) {
    const lineage = `l${number % 3}`
    const { key, spki } = madeUpKey()
    await vault.put(lineage, key, spki)
    process.stdout.write(`${lineage} ${spki} ${digestOf(key.reveal())}\n`)
  }
}

export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

const [, , directory = '', identityFile = ''] = process.argv
if (import.meta.main) await putForEver(directory, identityFile)
