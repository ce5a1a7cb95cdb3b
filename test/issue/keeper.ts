import { systemClock } from '../../src/base/clock.ts'
import type { AcmeTools } from '../../src/issue/acme/tools.ts'
import type { Order } from '../../src/issue/issuer.ts'
import type { Solver } from '../../src/issue/solver.ts'
import { openStore } from '../../src/store/sqlite.ts'
import { createIdentity } from '../../src/vault/identity.ts'
import { openVault, type Vault } from '../../src/vault/vault.ts'
import { type Scratch, scratch } from '../base/scratch.ts'

/** A vault, and room for files beside it. */
export interface Keeper extends AsyncDisposable {
  readonly directory: Scratch
  readonly keys: Vault
  readonly tools: AcmeTools & { readonly solvers: readonly Solver[] }
}

export async function openKeeper(): Promise<Keeper> {
  const directory = await scratch()
  const keys = openVault(directory.file('vault'), await createIdentity(directory.file('identity')))
  const store = await openStore(directory.file('state'))
  return {
    directory,
    keys,
    tools: { keys, notes: store, clock: systemClock, signal: AbortSignal.timeout(60_000), solvers: [] },
    async [Symbol.asyncDispose]() {
      await store.close()
      await directory[Symbol.asyncDispose]()
    },
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
    stored: [],
    newestDer: null,
    newestFromMs: null,
    ...wanted,
  }
}
