import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { DnsProvider, TxtRecord } from '../../src/issue/dns/provider/provider.ts'

/** A place where a provider writes, and where somebody else can read. */
export interface DnsPlace extends AsyncDisposable {
  readonly provider: DnsProvider
  /** The TXT values at a name, as others see them. */
  values(name: string): Promise<readonly string[]>
}

/** What every provider of TXT records promises. */
export function dnsProviderContract(kind: string, makePlace: () => Promise<DnsPlace>, zone = 'domain.example'): void {
  const first: TxtRecord = {
    name: `_acme-challenge.www.${zone}`,
    value: 'LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ',
  }
  const second: TxtRecord = { ...first, value: '-gJGnWWmIGvSqzqNzA2Ed3dT1wVHd2YwwOrEMNKyr_s' }
  const elsewhere: TxtRecord = { ...first, name: `_acme-challenge.${zone}` }
  const promise = (what: string, prove: (place: DnsPlace, signal: AbortSignal) => Promise<void>) =>
    test(`${kind}: ${what}`, async () => {
      await using place = await makePlace()
      await prove(place, AbortSignal.timeout(20_000))
    })

  promise('a value that was added is there, once, also when it is added twice', async (place, signal) => {
    await place.provider.add(first, signal)
    assert.deepEqual(await place.values(first.name), [first.value])
    await place.provider.add(first, signal)
    assert.deepEqual(await place.values(first.name), [first.value])
    assert.deepEqual(await place.values(elsewhere.name), [])
  })

  promise('two values stand at one name, and removing one keeps the other', async (place, signal) => {
    await place.provider.add(first, signal)
    await place.provider.add(second, signal)
    await place.provider.add(elsewhere, signal)
    assert.deepEqual([...(await place.values(first.name))].sort(), [first.value, second.value].sort())
    await place.provider.remove(first, signal)
    assert.deepEqual(await place.values(first.name), [second.value])
    assert.deepEqual(await place.values(elsewhere.name), [elsewhere.value])
  })

  promise('a value that was removed is gone, also when it is removed twice', async (place, signal) => {
    await place.provider.add(first, signal)
    await place.provider.remove(first, signal)
    assert.deepEqual(await place.values(first.name), [])
    await place.provider.remove(first, signal)
    assert.deepEqual(await place.values(first.name), [])
  })

  promise('values of two that write at once are both kept', async (place, signal) => {
    await Promise.all([place.provider.add(first, signal), place.provider.add(second, signal)])
    assert.deepEqual([...(await place.values(first.name))].sort(), [first.value, second.value].sort())
    await Promise.all([place.provider.remove(first, signal), place.provider.remove(second, signal)])
    assert.deepEqual(await place.values(first.name), [])
  })
}
