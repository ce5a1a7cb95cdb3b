import { systemClock } from '../../../src/base/clock.ts'
import { type AcmeClient, type AcmeSettings, openAcme } from '../../../src/issue/acme/client.ts'
import { generatePrivateKey } from '../../../src/pki/key.ts'

/** What a client has to know of a CA: Pebble, or what stands before it. */
export interface Ca {
  readonly directoryUrl: string
  /** Absent: a public CA. */
  readonly trust?: string
}

export function clientOf({ directoryUrl, trust }: Ca, settings: Partial<AcmeSettings> = {}): AcmeClient {
  return openAcme({
    issuer: 'pebble',
    directoryUrl,
    ...(trust === undefined ? {} : { trust }),
    accountKey: generatePrivateKey('ec-p256'),
    accountUrl: null,
    clock: systemClock,
    signal: new AbortController().signal,
    withinMs: 20_000,
    ...settings,
  })
}

/** With an account that is registered. */
export async function accountAt(ca: Ca, settings: Partial<AcmeSettings> = {}): Promise<AcmeClient> {
  const client = clientOf(ca, settings)
  await client.register({ contact: [] })
  return client
}

/** For settledOrder() and settledAuthorization(). */
export const waiting = {
  issuer: 'pebble',
  clock: systemClock,
  signal: new AbortController().signal,
  withinMs: 20_000,
} as const
