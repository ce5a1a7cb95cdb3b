import { createHash } from 'node:crypto'
import type { NameServer } from '../../src/dns/exchange.ts'
import { digTxt } from '../issue/dns/lookup.ts'
import { type AcmeProxy, type Deed, problem, type Seen, startAcmeProxy } from './acme-proxy.ts'
import type { Pebble } from './pebble.ts'

export interface PersistCaOptions {
  /** One that takes every challenge for answered: the records are judged here. */
  readonly pebble: Pebble
  readonly dns: NameServer
  /** `02`: hashed account URIs, and records above a name. `01` and `00`: the URL of the account, and no other name. */
  readonly draft: '00' | '01' | '02'
}

type Json = Record<string, unknown>

interface Asked {
  readonly name: string
  readonly wildcard: boolean
}

export const issuerDomain = 'authority.example'

/**
 * A CA that offers dns-persist-01 in place of dns-01, which the Pebble of Debian does not have. Told to look, it asks the DNS
 * with dig and judges the records as draft-ietf-acme-dns-persist section 4.2 says, with nothing of what it tests; the rest is
 * Pebble. It takes all keys that it saw for those of one account.
 */
export async function startPersistCa({ pebble, dns, draft }: PersistCaOptions): Promise<AcmeProxy> {
  const asked = new Map<string, Asked>()
  const thumbprints: string[] = []
  const pathOf = (url: unknown) => new URL(String(url)).pathname

  /** RFC 7638. */
  function learn(jwk: unknown): void {
    const { crv, kty, x, y } = jwk as Json
    const members = JSON.stringify({ crv, kty, x, y })
    thumbprints.push(createHash('sha256').update(members).digest('base64url'))
  }

  function offered(challenge: Json): Json {
    if (challenge.type !== 'dns-01') return challenge
    const { token: _, ...rest } = challenge
    const names = draft === '02' ? 'issuerDomainNames' : 'issuer-domain-names'
    return {
      ...rest,
      type: 'dns-persist-01',
      [names]: [issuerDomain, 'second.example'],
      ...(draft === '01' && { accounturi: accountUrl }),
    }
  }

  let accountUrl = ''
  const prefix = () => `${proxy.directoryUrl.replace(/dir$/, '')}account-hash/`

  const withMeta = (json: string) => {
    const directory = JSON.parse(json) as { meta?: object }
    const terms = draft === '02' && { issuerDomainNames: [issuerDomain], accountHashPrefix: prefix() }
    const meta = { ...directory.meta, caaIdentities: [issuerDomain, 'second.example'], ...terms }
    return JSON.stringify({ ...directory, meta })
  }

  const withOffer = (json: string) => {
    const { challenges, ...rest } = JSON.parse(json) as Json & { challenges: Json[]; identifier: { value: string } }
    for (const { url } of challenges)
      asked.set(pathOf(url), { name: rest.identifier.value, wildcard: rest.wildcard === true })
    return JSON.stringify({ ...rest, challenges: challenges.map(offered) })
  }

  async function otherwise({ path, payload, protected: header }: Seen): Promise<Deed | null> {
    if (path === '/dir') return { kind: 'change', body: withMeta }
    if (header?.jwk) learn(header.jwk)
    if (header?.kid) accountUrl = String(header.kid)
    if (path === '/rollover-account-key') {
      const inner = String((payload as Json).protected)
      learn((JSON.parse(Buffer.from(inner, 'base64url').toString()) as Json).jwk)
    }
    if (path.startsWith('/authZ/')) return { kind: 'change', body: withOffer }
    const wanted = asked.get(path)
    if (!wanted || payload === undefined) return null
    const judged = await authorised(wanted)
    const body = (json: string) => JSON.stringify(offered(JSON.parse(json) as Json))
    return judged ? { kind: 'change', body } : problem('unauthorized', 403, `no record authorises ${wanted.name}`)
  }

  async function authorised({ name, wildcard }: Asked): Promise<boolean> {
    const labels = name.split('.')
    const above = draft === '02' ? labels.slice(1, -1).map((_, at) => labels.slice(at + 1).join('.')) : []
    for (const domain of [name, ...above]) {
      const values = await digTxt(dns, `_validation-persist.${domain}`)
      if (values.some((value) => lets(value.replaceAll('" "', ''), domain, wildcard || domain !== name))) return true
    }
    return false
  }

  function lets(value: string, domain: string, wildcard: boolean): boolean {
    const [issuer, ...parameters] = value.split(';').map((each) => each.trim())
    const { accounturi, policy, persistUntil } = Object.fromEntries(parameters.map((each) => each.split('=')))
    if (issuer !== issuerDomain && issuer !== 'second.example') return false
    if (wildcard && policy !== 'wildcard') return false
    if (persistUntil !== undefined && Number(persistUntil) * 1000 < Date.now()) return false
    return draft === '02' ? hashes(domain).includes(accounturi) : accounturi === accountUrl
  }

  function hashes(domain: string): string[] {
    return [domain, '*'].flatMap((each) =>
      thumbprints.map((key) => {
        const octets = Buffer.concat([Buffer.from([each.length]), Buffer.from(each + key + accountUrl)])
        return `${prefix()}sha-256/${createHash('sha256').update(octets).digest('base64url')}`
      }),
    )
  }

  const proxy = await startAcmeProxy(pebble, { otherwise })
  return proxy
}
