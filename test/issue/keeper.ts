import type { Order } from '../../src/issue/issuer.ts'
import { createIdentity } from '../../src/vault/identity.ts'
import { openVault, type Vault } from '../../src/vault/vault.ts'
import { type Scratch, scratch } from '../base/scratch.ts'

/** A vault, and room for files beside it. */
export interface Keeper extends AsyncDisposable {
  readonly directory: Scratch
  readonly keys: Vault
}

export async function openKeeper(): Promise<Keeper> {
  const directory = await scratch()
  return {
    directory,
    keys: openVault(directory.file('vault'), await createIdentity(directory.file('identity'))),
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
}

export function orderOf(wanted: Partial<Order> = {}): Order {
  return {
    lineage: 'www',
    names: ['www.vectors.test', 'shop.vectors.test'],
    keyType: 'ec-p256',
    keepKey: null,
    nowMs: Date.now(),
    newest: null,
    newestFromMs: null,
    ...wanted,
  }
}
