import { createPrivateKey, type KeyObject } from 'node:crypto'
import { readBounded } from '../../base/durable.ts'
import { asOnecertError, fail } from '../../base/errors.ts'
import { Secret } from '../../base/secret.ts'
import { readCredential } from '../../dns/credential.ts'
import type { AcmeIssuer } from '../../fleet/fleet.ts'
import { generatePrivateKey, privateKeyPem, spkiOf } from '../../pki/key.ts'
import type { KeyKeeper } from '../issuer.ts'
import { type Notes, type Shelf, shelf } from '../notes.ts'
import { type AcmeClient, openAcme } from './client.ts'
import type { AccountIdentity } from './persistent.ts'
import type { AcmeTools } from './tools.ts'

/** What is known of the account that an issuer has at its CA. */
export interface KnownAccount {
  /** The CA, by the URL of its directory: another one is another account. */
  readonly directory: string
  /** Of the account key, in the vault. */
  readonly spki: string
  /** null: the key is there, and the CA was not asked yet, or its answer was lost. */
  readonly url: string | null
  /** A change of the key is under way: which of both the CA knows, only it can tell. */
  readonly next?: string
  /** Thumbprints of the keys before (RFC 7638): dns-persist-01 records that were made with them still count. */
  readonly earlier?: readonly string[]
}

const rootsBytesMax = 1_048_576
/** As many changes of the key are remembered. */
const thumbprintsMax = 20

/** An account key stands beside the lineages, under a name that no certificate of the fleet file can have. */
const keyShelf = (issuer: string) => `acme..${issuer}`

export function accounts(notes: Notes): Shelf<KnownAccount> {
  return shelf(notes, 'acme-account')
}

/**
 * A client with the issuer's account, registered now where it was not (RFC 8555 section 7.3). The key is in the vault
 * before the CA hears of it, and a registration whose answer was lost gives the same account again.
 */
export async function openRegistered(spec: AcmeIssuer, tools: AcmeTools): Promise<AcmeClient> {
  const { client, known } = await openAccount(spec, tools)
  if (known.next !== undefined) return afterRollover(spec, tools, known)
  if (known.url !== null) return client
  const { meta } = await client.directory()
  if (meta.externalAccountRequired && !spec.eab) {
    fail('ACME_EAB_REQUIRED', {
      what: `${spec.name} takes only accounts that are bound to one of its customers`,
      state: 'nothing was ordered',
      next: 'get a key id and an HMAC key from the CA, and add eab: { key-id: …, hmac-file: … } to the issuer',
    })
  }
  const { url } = await client.register({
    contact: spec.email.map((address) => `mailto:${address}`),
    ...(spec.eab && { eab: { kid: spec.eab.keyId, hmacKey: await secretFile(spec.eab.hmacFile) } }),
  })
  await accounts(tools.notes).write(spec.name, { ...known, url })
  return (await openAccount(spec, tools)).client
}

/** The CA does not know the account any more: the next run registers it anew, with the same key. */
export async function forgetRegistration(issuer: string, notes: Notes): Promise<void> {
  await accounts(notes).change(issuer, (known) => known && { ...known, url: null })
}

/** The account was deactivated, for ever: the next one has a key that the CA never saw. */
export async function beginAnew({ name, directory }: AcmeIssuer, { keys, notes }: AcmeTools): Promise<void> {
  const spki = spkiOf(await newAccountKey(name, keys))
  await accounts(notes).write(name, { directory, spki, url: null })
}

/** The same without asking the CA: `known.url` is null where there is no account yet. */
export async function openAccount(
  spec: AcmeIssuer,
  tools: AcmeTools,
): Promise<{ readonly client: AcmeClient; readonly known: KnownAccount }> {
  const { keys, notes } = tools
  const noted = await accounts(notes).read(spec.name)
  const known =
    noted?.directory === spec.directory
      ? noted
      : { directory: spec.directory, spki: noted?.spki ?? (await accountKey(spec.name, keys)), url: null }
  // Of two processes that come first at the same time both take what was noted first.
  const noteFirst = () => accounts(notes).change(spec.name, (now) => (now?.directory === spec.directory ? now : known))
  const account = known === noted ? known : ((await noteFirst()) ?? known)
  return { client: await clientWith(spec, tools, account), known: account }
}

async function clientWith(
  spec: AcmeIssuer,
  tools: AcmeTools,
  { spki, url }: Pick<KnownAccount, 'spki' | 'url'>,
): Promise<AcmeClient> {
  const pem = await tools.keys.get(keyShelf(spec.name), spki)
  return openWith(spec, tools, new Secret<KeyObject>(createPrivateKey(pem.reveal())), url)
}

type Limits = Pick<AcmeTools, 'clock' | 'signal' | 'withinMs'>

async function openWith(
  spec: AcmeIssuer,
  { clock, signal, withinMs }: Limits,
  accountKey: Secret<KeyObject>,
  accountUrl: string | null,
): Promise<AcmeClient> {
  return openAcme({
    issuer: spec.name,
    directoryUrl: spec.directory,
    accountKey,
    accountUrl,
    clock,
    signal,
    ...(withinMs !== undefined && { withinMs }),
    ...(spec.caFile !== undefined && { trust: await textFile(spec.caFile) }),
  })
}

/** For what a CA says of itself: no account is needed for it, and none is made. */
export function anonymousClient(spec: AcmeIssuer, limits: Limits): Promise<AcmeClient> {
  return openWith(spec, limits, generatePrivateKey('ec-p256'), null)
}

/** What a dns-persist-01 record names the account by. It is registered by now. */
export async function accountIdentity(client: AcmeClient, issuer: string, notes: Notes): Promise<AccountIdentity> {
  const { url, earlier = [] } = (await accounts(notes).read(issuer)) ?? {}
  const thumbprint = client.keyAuthorization('').slice(1)
  return {
    url: url ?? (await client.account()).url,
    thumbprints: [thumbprint, ...earlier.filter((each) => each !== thumbprint)],
  }
}

/** A new key for the account (RFC 8555 section 7.3.5): in the vault and noted before the CA hears of it. */
export async function rollOver(spec: AcmeIssuer, tools: AcmeTools): Promise<AcmeClient> {
  const client = await openRegistered(spec, tools)
  const next = await newAccountKey(spec.name, tools.keys)
  const { thumbprints } = await accountIdentity(client, spec.name, tools.notes)
  // The present one is among them before the CA hears of another: a record may be of either.
  const noted = { next: spkiOf(next), earlier: thumbprints.slice(0, thumbprintsMax) }
  await accounts(tools.notes).change(spec.name, (known) => known && { ...known, ...noted })
  await client.changeKey(next)
  await settleKey(spec.name, tools, spkiOf(next))
  return client
}

/** The account under the key that the CA takes: the next one, or still the one before. Both stay noted until it is known. */
async function afterRollover(
  spec: AcmeIssuer,
  tools: AcmeTools,
  { next = '', spki, url }: KnownAccount,
): Promise<AcmeClient> {
  const taken = async (each: string) => {
    const client = await clientWith(spec, tools, { spki: each, url })
    await client.account()
    await settleKey(spec.name, tools, each)
    return client
  }
  return taken(next).catch((error: unknown) => {
    if (asOnecertError(error).retryable) throw error
    return taken(spki)
  })
}

async function settleKey(issuer: string, { notes }: AcmeTools, spki: string): Promise<void> {
  await accounts(notes).change(issuer, (known) => known && forgetNext(known, spki))
}

function forgetNext({ directory, url, earlier }: KnownAccount, spki: string): KnownAccount {
  return { directory, url, spki, ...(earlier && { earlier }) }
}

async function newAccountKey(issuer: string, keys: KeyKeeper): Promise<Secret<KeyObject>> {
  const key = generatePrivateKey('ec-p256')
  await keys.put(keyShelf(issuer), privateKeyPem(key), spkiOf(key))
  return key
}

/** The one that an earlier run made and did not come to note, else a new one. */
async function accountKey(issuer: string, keys: KeyKeeper): Promise<string> {
  const left = (await keys.list()).find(({ lineage }) => lineage === keyShelf(issuer))
  return left?.spki ?? spkiOf(await newAccountKey(issuer, keys))
}

async function textFile(file: string): Promise<string> {
  return Buffer.from(await readBounded(file, { bytesMax: rootsBytesMax })).toString('utf8')
}

async function secretFile(file: string): Promise<Secret<string>> {
  return new Secret((await readCredential(file)).reveal().trim())
}
