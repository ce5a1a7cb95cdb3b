import type { KeyObject } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import { asOnecertError, fail, quote } from '../../base/errors.ts'
import type { Secret } from '../../base/secret.ts'
import { parsePem } from '../../pki/pem.ts'
import { bindExternalAccount, type ExternalAccount, readAccount } from './account.ts'
import { readAuthorization, readChallenge } from './challenge.ts'
import { checkDirectoryUrl, readDirectory } from './directory.ts'
import { brokenProtocol, httpsUrl, sayAnswer } from './document.ts'
import { jwkOf, signJws, thumbprint } from './jws.ts'
import { readOrder, readOrders } from './order.ts'
import { readRenewalInfo } from './renewal-info.ts'
import type { Account, AcmeOrder, Authorization, Challenge, Directory, RenewalInfo } from './resources.ts'
import { type Asked, openSession } from './session.ts'
import { startTimeLimit, type TimeLimit } from './time-limit.ts'
import { type Answer, linksOf, mediaType, openTransport } from './transport.ts'

export interface AcmeSettings {
  /** The fleet file's name of the issuer, for messages. */
  readonly issuer: string
  /** https */
  readonly directoryUrl: string
  /** PEM of the roots that the CA's own HTTPS is checked against; absent: the public ones, and public addresses only. */
  readonly trust?: string
  /** ES256 is what we make; RSA and P-384 keys are taken. */
  readonly accountKey: Secret<KeyObject>
  /** null: not registered yet, or not known; it is then asked for. */
  readonly accountUrl: string | null
  readonly clock: Clock
  readonly signal: AbortSignal
  /** Time limit for one operation with all its retries; default 120 s. */
  readonly withinMs?: number
}

/**
 * One account at one ACME CA (RFC 8555). Every function may throw ACME_UNREACHABLE, ACME_PROTOCOL, ACME_RATE_LIMITED,
 * ACME_UNTRUSTED, ACME_ADDRESS_REFUSED, ACME_NOT_A_DIRECTORY, ACME_REFUSED and, but for directory() and renewalInfo(),
 * ACME_ACCOUNT_UNKNOWN and ACME_ACCOUNT_DEACTIVATED. What changes something at the CA is never sent twice once the CA may
 * have got it: see mayHaveArrived(). What the CA said is in acmeProblemOf().
 */
export interface AcmeClient {
  directory(): Promise<Directory>
  /**
   * RFC 8555 section 7.3, with consent to the terms; the same key again gives the account that is there.
   * @throws OnecertError ACME_EAB_REQUIRED, ACME_TERMS
   */
  register(wanted: {
    /** `mailto:` URLs. */
    readonly contact: readonly string[]
    /** Section 7.3.4. */
    readonly eab?: ExternalAccount
  }): Promise<Account>
  account(): Promise<Account>
  /** Section 7.3.2. */
  updateContact(contact: readonly string[]): Promise<Account>
  /** Section 7.3.5; the client signs with the next key from then on. */
  changeKey(next: Secret<KeyObject>): Promise<void>
  /** Section 7.3.6; for ever. */
  deactivate(): Promise<void>
  /**
   * Section 7.4. `replaces` is a certificate id (RFC 9773 section 5), left out where the CA has no renewal information.
   * @throws OnecertError ACME_PROFILE_UNKNOWN, ACME_UNSUPPORTED_IDENTIFIER, ACME_CAA
   */
  newOrder(wanted: {
    readonly names: readonly string[]
    /** draft-ietf-acme-profiles. */
    readonly profile?: string
    readonly replaces?: string
  }): Promise<AcmeOrder>
  /** URLs of our orders (section 7.1.2.1), page by page; none where the CA does not list them, as many do not. */
  orders(): Promise<readonly string[]>
  order(url: string): Promise<AcmeOrder>
  /** Section 7.5. */
  authorization(url: string): Promise<Authorization>
  /** Tells the CA to look (section 7.5.1). */
  respond(challengeUrl: string): Promise<Challenge>
  /** Section 7.5.2. */
  deactivateAuthorization(url: string): Promise<void>
  /** Section 7.4; `csr` in DER. */
  finalize(order: AcmeOrder, csr: Uint8Array): Promise<AcmeOrder>
  /** PEM chain, leaf first, and the URLs of alternates (section 7.4.2). Whether it is the right one, the caller checks. */
  certificate(url: string): Promise<{ readonly pem: string; readonly alternates: readonly string[] }>
  /** Section 7.6; `reason` as in RFC 5280 section 5.3.1. */
  revoke(leafDer: Uint8Array, reason: number): Promise<void>
  /** RFC 9773 section 4.2; null where the CA has none, or none for this certificate. */
  renewalInfo(certificateId: string): Promise<RenewalInfo | null>
  /** The token and the thumbprint of the account key (section 8.1). */
  keyAuthorization(token: string): string
}

const defaultWithinMs = 120_000
const ordersMax = 1_000
const certificateChainType = 'application/pem-certificate-chain'

/** Asks nothing yet. */
export function openAcme(settings: AcmeSettings): AcmeClient {
  const { issuer, directoryUrl, clock, signal, trust, withinMs = defaultWithinMs } = settings
  const transport = openTransport({ signal, ...(trust === undefined ? {} : { trust }) })
  const session = openSession({
    issuer,
    transport,
    newNonceUrl: async (limit) => (await directoryWithin(limit)).newNonce,
  })
  const begin = () => startTimeLimit(clock, signal, withinMs)
  let key = settings.accountKey
  let accountUrl = settings.accountUrl
  let directory: Promise<Directory> | null = null

  function directoryWithin(limit: TimeLimit): Promise<Directory> {
    directory ??= readOnce(limit).catch((error: unknown) => {
      directory = null
      throw error
    })
    return directory
  }

  async function readOnce(limit: TimeLimit): Promise<Directory> {
    checkDirectoryUrl({ issuer, directoryUrl })
    const asked = { to: 'show its directory', repeatable: true }
    const answer = await session.fetch(asked, { method: 'GET', url: directoryUrl, accept: 'application/json' }, limit)
    return readDirectory(answer, { issuer, directoryUrl })
  }

  /** RFC 8555 section 7.3.1: asks for the account of the key, and makes none. */
  async function findAccount(limit: TimeLimit): Promise<Account> {
    const { newAccount } = await directoryWithin(limit)
    const asked = { to: 'find the account of our key', repeatable: true }
    const signer = { key, accountUrl: null }
    const payload = { onlyReturnExisting: true }
    return readAccount(await session.post(asked, { url: newAccount, payload, signer }, limit), issuer, null)
  }

  async function ourUrl(limit: TimeLimit): Promise<string> {
    accountUrl ??= (await findAccount(limit)).url
    return accountUrl
  }

  async function post(asked: Asked, url: string, payload: unknown, limit = begin(), accept?: string): Promise<Answer> {
    checkUrl(url)
    const signer = { key, accountUrl: await ourUrl(limit) }
    return session.post(asked, { url, payload, signer, ...(accept === undefined ? {} : { accept }) }, limit)
  }

  function checkUrl(url: string): void {
    if (!httpsUrl.safeParse(url).success) brokenProtocol({ issuer, what: 'an https URL' }, quote(url))
  }

  /** RFC 8555 section 6.3. */
  const read = (what: string, url: string) => post({ to: `show ${what}`, repeatable: true }, url, null)

  async function register(wanted: Parameters<AcmeClient['register']>[0]): Promise<Account> {
    const limit = begin()
    const { newAccount } = await directoryWithin(limit)
    const payload = {
      contact: wanted.contact,
      termsOfServiceAgreed: true,
      ...(wanted.eab && { externalAccountBinding: bindExternalAccount(wanted.eab, jwkOf(key), newAccount, issuer) }),
    }
    const asked = { to: 'register an account', repeatable: false }
    const signed = { url: newAccount, payload, signer: { key, accountUrl: null } }
    return keep(readAccount(await session.post(asked, signed, limit), issuer, null))
  }

  function keep(account: Account): Account {
    if (account.status !== 'valid') {
      fail('ACME_ACCOUNT_DEACTIVATED', {
        what: `the account of our key at ${quote(issuer)} cannot be used any more`,
        fact: `its status is ${account.status}`,
        state: 'no account was made',
        next: 'make a new account: it needs a new key',
      })
    }
    accountUrl = account.url
    return account
  }

  async function account(): Promise<Account> {
    const limit = begin()
    const url = await ourUrl(limit)
    return readAccount(await post({ to: 'show our account', repeatable: true }, url, null, limit), issuer, url)
  }

  async function changeKey(next: Secret<KeyObject>): Promise<void> {
    const limit = begin()
    const { keyChange } = await directoryWithin(limit)
    const inner = signJws(
      next,
      { jwk: jwkOf(next), url: keyChange },
      { account: await ourUrl(limit), oldKey: jwkOf(key) },
    )
    await post({ to: 'change the key of our account', repeatable: false }, keyChange, inner, limit)
    key = next
  }

  async function newOrder({ names, profile, replaces }: Parameters<AcmeClient['newOrder']>[0]): Promise<AcmeOrder> {
    const limit = begin()
    const { newOrder: url, renewalInfo, meta } = await directoryWithin(limit)
    // draft-ietf-acme-profiles section 4: only a profile that the directory names may be asked for.
    if (profile !== undefined && !Object.hasOwn(meta.profiles, profile)) unknownProfile(profile, meta.profiles)
    const payload = {
      identifiers: names.map((value) => ({ type: 'dns', value })),
      ...(profile === undefined ? {} : { profile }),
      ...(replaces === undefined || renewalInfo === undefined ? {} : { replaces }),
    }
    const to = `make an order for ${quote(names.join(', '), 120)}`
    return readOrder(await post({ to, repeatable: false }, url, payload, limit), issuer, null, clock.nowMs())
  }

  async function orders(): Promise<readonly string[]> {
    const { ordersUrl } = await account()
    const urls: string[] = []
    const pages = new Set<string>()
    for (let next = ordersUrl; next !== null && !pages.has(next) && urls.length < ordersMax; ) {
      pages.add(next)
      const answer = await read('our orders', next)
      urls.push(...readOrders(answer, issuer))
      next = linksOf(answer, 'next')[0] ?? null
    }
    return urls
  }

  function unknownProfile(profile: string, profiles: Directory['meta']['profiles']): never {
    const known = Object.keys(profiles)
    fail('ACME_PROFILE_UNKNOWN', {
      what: `${quote(issuer)} has no certificate profile ${quote(profile)}`,
      fact: known.length === 0 ? 'it has no profiles' : `it has ${known.map((each) => quote(each)).join(', ')}`,
      state: 'no order was made',
      next: 'take one of the profiles that the CA has, or none',
    })
  }

  async function finalize(order: AcmeOrder, csr: Uint8Array): Promise<AcmeOrder> {
    const asked = { to: `issue for ${quote(order.names.join(', '), 120)}`, repeatable: false }
    const answer = await post(asked, order.finalize, { csr: base64url(csr) })
    return readOrder(answer, issuer, order.url, clock.nowMs())
  }

  async function certificate(url: string): ReturnType<AcmeClient['certificate']> {
    const asked = { to: 'give the certificate', repeatable: true }
    const answer = await post(asked, url, null, begin(), certificateChainType)
    const alternates = linksOf(answer, 'alternate').filter((link) => httpsUrl.safeParse(link).success)
    return { pem: readChain(answer, issuer), alternates }
  }

  async function renewalInfo(id: string): Promise<RenewalInfo | null> {
    const limit = begin()
    const { renewalInfo: base } = await directoryWithin(limit)
    if (base === undefined) return null
    const asked = { to: 'give renewal information', repeatable: true }
    const url = `${base.replace(/\/$/, '')}/${id}`
    const answer = await session.fetch(asked, { method: 'GET', url, accept: 'application/json' }, limit)
    return answer.status === 404
      ? null
      : readRenewalInfo(session.succeeded(asked, answer, limit), issuer, limit.nowMs())
  }

  return {
    directory: () => directoryWithin(begin()),
    register,
    account,
    updateContact: async (contact) => {
      const limit = begin()
      const url = await ourUrl(limit)
      const asked = { to: 'change the contact of our account', repeatable: true }
      return readAccount(await post(asked, url, { contact }, limit), issuer, url)
    },
    changeKey,
    deactivate: async () => {
      const limit = begin()
      const asked = { to: 'deactivate our account', repeatable: false }
      await post(asked, await ourUrl(limit), { status: 'deactivated' }, limit)
    },
    newOrder,
    orders,
    order: async (url) => readOrder(await read('an order', url), issuer, url, clock.nowMs()),
    authorization: async (url) => readAuthorization(await read('an authorization', url), issuer, url, clock.nowMs()),
    respond: async (url) => readChallenge(await post({ to: 'check a challenge', repeatable: false }, url, {}), issuer),
    deactivateAuthorization: async (url) => {
      await post({ to: 'deactivate an authorization', repeatable: false }, url, { status: 'deactivated' })
    },
    finalize,
    certificate,
    revoke: async (leafDer, reason) => {
      const limit = begin()
      const { revokeCert } = await directoryWithin(limit)
      const payload = { certificate: base64url(leafDer), reason }
      await post({ to: 'revoke a certificate', repeatable: false }, revokeCert, payload, limit)
    },
    renewalInfo,
    keyAuthorization: (token) => `${token}.${thumbprint(jwkOf(key))}`,
  }
}

/** RFC 8555 section 9.1: certificates in PEM and nothing else. */
function readChain(answer: Answer, issuer: string): string {
  const expected = { issuer, what: 'a certificate chain' }
  if (mediaType(answer) !== certificateChainType) brokenProtocol(expected, sayAnswer(answer))
  const pem = Buffer.from(answer.body).toString('latin1')
  const others = labels(pem).filter((label) => label !== 'CERTIFICATE')
  if (others.length > 0) brokenProtocol(expected, `it holds ${quote(others[0] ?? '')}`)
  return pem

  function labels(text: string): string[] {
    try {
      return parsePem(text, { file: 'the answer' }).map(({ label }) => label)
    } catch (thrown) {
      return brokenProtocol(expected, asOnecertError(thrown).message)
    }
  }
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}
