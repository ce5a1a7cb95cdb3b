import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Secret } from '../base/secret.ts'
import type { KeyKeeper } from '../issue/issuer.ts'
import { localCa } from '../issue/local-ca.ts'
import { fullchainPem } from '../pki/bundle.ts'
import { privateKeyPem } from '../pki/key.ts'
import { labSites, type Spot } from './topology.ts'

/**
 * Puts a certificate that onecert knows nothing of where a server's service reads its own, as somebody would by hand.
 * `name` is that of the directory it lies in. The service is not told.
 */
export async function putStranger(server: Spot, name: string): Promise<void> {
  const base = join(server.directory, 'www')
  const bundle = await localCa(
    { kind: 'local-ca', name, commonName: 'Forgotten', lifetimeMs: 86_400_000 },
    inMemory(),
  ).issue({
    lineage: name,
    names: Object.values(labSites),
    keyType: 'ec-p256',
    keepKey: null,
    nowMs: Date.now(),
    newest: null,
    stored: [],
    newestDer: null,
    newestFromMs: null,
  })
  if (!bundle) throw new Error('the forgotten CA issued nothing')
  const [chain, key] = [fullchainPem(bundle), privateKeyPem(bundle.key).reveal()]
  await mkdir(join(base, name), { recursive: true })
  await writeFile(join(base, name, 'fullchain.pem'), chain)
  await writeFile(join(base, name, 'privkey.pem'), key, { mode: 0o600 })
  await writeFile(join(base, name, 'combined.pem'), `${chain}${key}`, { mode: 0o600 })
  await rm(join(base, 'current.new'), { force: true })
  await symlink(name, join(base, 'current.new'))
  await rename(join(base, 'current.new'), join(base, 'current'))
}

function inMemory(): KeyKeeper {
  const kept = new Map<string, Secret<string>>()
  const place = (lineage: string, spki: string) => `${lineage} ${spki}`
  return {
    async put(lineage, key, spki) {
      kept.set(place(lineage, spki), key)
    },
    async get(lineage, spki) {
      const key = kept.get(place(lineage, spki))
      if (!key) throw new Error('no such key')
      return key
    },
    has: async (lineage, spki) => kept.has(place(lineage, spki)),
    list: async () =>
      [...kept.keys()].map((each) => ({ lineage: each.split(' ')[0] ?? '', spki: each.split(' ')[1] ?? '' })),
  }
}
