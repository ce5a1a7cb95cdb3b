import { createPrivateKey, type KeyObject } from 'node:crypto'
import { Secret } from '../base/secret.ts'
import { generatePrivateKey, privateKeyPem, spkiOf } from '../pki/key.ts'
import type { KeyKeeper, Order } from './issuer.ts'

/** The key that is to be kept, else a new one: in the keeper before anybody is asked to sign for it. */
export async function leafKey(order: Order, keys: KeyKeeper): Promise<Secret<KeyObject>> {
  if (order.keepKey !== null) return keptKey(order.lineage, order.keepKey, keys)
  const key = generatePrivateKey(order.keyType)
  await keys.put(order.lineage, privateKeyPem(key), spkiOf(key))
  return key
}

export async function keptKey(lineage: string, spki: string, keys: KeyKeeper): Promise<Secret<KeyObject>> {
  const pem = await keys.get(lineage, spki)
  return new Secret(createPrivateKey(pem.reveal()))
}
