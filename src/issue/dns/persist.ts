import { createHash } from 'node:crypto'
import { dayMs } from '../../base/clock.ts'
import { fail, OnecertError, quote } from '../../base/errors.ts'
import { authorityOf } from '../../dns/authority.ts'
import { ancestors } from '../../dns/message.ts'
import { registeredDomain } from '../limits/registered-domain.ts'
import type { AccountBinding, PersistentChallenge, Solver } from '../solver.ts'
import { writtenName } from './delegation.ts'
import { parseIssueValue } from './issue-value.ts'
import { areEnough, type Lacking, lookAt, otherValues, type PropagationSettings, sayLacking } from './propagation.ts'
import type { TxtRecord } from './provider/provider.ts'

export interface PersistSettings extends Omit<PropagationSettings, 'withinMs' | 'pauseMs'> {
  /** Something that is not as it should be, and does not stop us. */
  readonly notice: (text: string) => void
}

/** The CA may take 5 minutes to look, and issues after that: it does neither once persistUntil is over. */
const neededMs = 10 * 60_000
/** Certificates are renewed more often than that. */
const endsSoonMs = 30 * dayMs
const parentsMax = 10
const valueCharactersMax = 1_000
/** RFC 1035 section 3.3: of one string of a TXT record. */
const stringBytesMax = 255

/**
 * The dns-persist-01 challenge (draft-ietf-acme-dns-persist): a record that stands in the DNS, written by somebody who may.
 * It is looked at, and neither written nor taken away.
 */
export function dnsPersist01(settings: PersistSettings): Solver {
  return {
    type: 'dns-persist-01',
    present: (challenge: PersistentChallenge, signal) => requirePersistentRecord(challenge, settings, signal),
    remove: async () => {},
  }
}

/** The record that lets the CA issue for a name, and with `wildcard` for all names below it. Pure. */
export function persistentRecord({
  name,
  wildcard,
  issuerDomains,
  account,
}: Omit<PersistentChallenge, 'type'>): TxtRecord {
  const [uri = ''] = accountUris(account, name)
  const parameters = [`accounturi=${uri}`, ...(wildcard ? ['policy=wildcard'] : [])]
  return { name: recordName(name), value: [issuerDomains[0], ...parameters].join('; ') }
}

/** As zone files and the forms of DNS providers have it (RFC 1035 section 5.1): strings of at most 255 bytes, in quotes. */
export function txtText(value: string): string {
  const strings = value.match(new RegExp(`.{1,${stringBytesMax}}`, 'g')) ?? ['']
  return strings.map((each) => `"${each.replace(/["\\]/g, '\\$&')}"`).join(' ')
}

/** The values of `accounturi` that a CA takes for a record of this domain; the first is the one to be written. Pure. */
function accountUris(account: AccountBinding, domain: string): readonly string[] {
  if (account.kind === 'url') return [account.url]
  const { prefix, url, thumbprints } = account
  return [domain, '*'].flatMap((each) => thumbprints.map((key) => `${prefix}sha-256/${accountHash(each, key, url)}`))
}

/** Draft -02 section 4.1: `*` in place of the domain is good for all of them. */
function accountHash(domain: string, thumbprint: string, url: string): string {
  const length = Buffer.of(domain.length)
  return createHash('sha256').update(length).update(`${domain}${thumbprint}${url}`).digest('base64url')
}

const recordName = (domain: string) => `_validation-persist.${domain}`

/** Good until then, in ms; or what is wrong with it. */
type Judged = { readonly untilMs: number } | { readonly defect: string }

/** Whether a value lets the CA issue for a name that it has (draft -02 section 4.2). Pure. */
export function judgePersistent(
  value: string,
  domain: string,
  { issuerDomains, account, wildcard }: Omit<PersistentChallenge, 'type' | 'name'>,
  nowMs: number,
): Judged {
  const parsed = parseIssueValue(value)
  if ('defect' in parsed) return parsed
  const { issuerDomain, parameters } = parsed
  if (!issuerDomains.includes(issuerDomain)) return { defect: `it is for the CA ${quote(issuerDomain) || 'of nobody'}` }
  const uri = parameters.get('accounturi')
  if (uri === undefined) return { defect: 'it has no accounturi' }
  // RFC 3986 section 6.2.1: character by character.
  if (!accountUris(account, domain).includes(uri)) return { defect: 'its accounturi is of another account' }
  if (wildcard && parameters.get('policy')?.toLowerCase() !== 'wildcard') return { defect: 'it has no policy=wildcard' }
  const until = parameters.get('persistUntil')
  if (until === undefined) return { untilMs: Number.POSITIVE_INFINITY }
  if (!/^\d{1,12}$/.test(until)) return { defect: 'its persistUntil is no number of seconds since 1970' }
  const untilMs = Number(until) * 1000
  if (untilMs <= nowMs) return { defect: `it ended at ${moment(untilMs)}` }
  return untilMs < nowMs + neededMs ? { defect: `it ends at ${moment(untilMs)}, before the CA is done` } : { untilMs }
}

/**
 * That every authoritative server shows a record that lets the CA issue: at the name, or at one above it for all below.
 * @throws OnecertError DNS_RECORD_MISSING where none does, DNS_NOT_PROPAGATED where some do; both with the record
 */
async function requirePersistentRecord(
  challenge: PersistentChallenge,
  settings: PersistSettings,
  signal: AbortSignal,
): Promise<void> {
  const own = await lookFor(challenge, challenge.name, settings, signal)
  if (own.shown) return warnOfEnd(challenge, own.untilMs, settings)
  for (const parent of parentsOf(challenge.name)) {
    const above = await lookFor({ ...challenge, wildcard: true }, parent, settings, signal).catch((error: unknown) => {
      signal.throwIfAborted()
      // What cannot be looked up there is no obstacle, and no news: the record is missed at the name itself.
      if (!(error instanceof OnecertError)) throw error
      return null
    })
    if (above?.shown) return warnOfEnd(challenge, above.untilMs, settings)
  }
  refuse(challenge, own)
}

interface Looked {
  readonly shown: boolean
  /** Of the server whose record ends first. */
  readonly untilMs: number
  /** Where the record stands, CNAMEs followed. */
  readonly at: string
  readonly zone: string
  readonly servers: number
  readonly lacking: readonly Lacking[]
}

async function lookFor(
  challenge: PersistentChallenge,
  domain: string,
  settings: PersistSettings,
  signal: AbortSignal,
): Promise<Looked> {
  const at = await writtenName(recordName(domain), settings.resolver, signal)
  const authority = await authorityOf(at, settings.resolver, signal)
  const nowMs = settings.clock.nowMs()
  const untilMs: number[] = []
  const wanted = (values: readonly string[]) => {
    const judged = values.map((value) => judgePersistent(value, domain, challenge, nowMs))
    const good = judged.flatMap((each) => ('untilMs' in each ? [each.untilMs] : []))
    if (good.length === 0) return sayDefects(values, judged)
    untilMs.push(Math.max(...good))
    return null
  }
  const lacking = await lookAt(authority.servers, at, wanted, settings, signal)
  return {
    shown: areEnough(lacking, authority),
    untilMs: Math.min(...untilMs),
    at,
    zone: authority.zone,
    servers: authority.servers.length,
    lacking,
  }
}

/** Up to the part below a public suffix: no CA takes a record of a whole suffix. */
function parentsOf(name: string): string[] {
  const top = registeredDomain(name)
  return ancestors(name)
    .slice(1)
    .filter((each) => each === top || each.endsWith(`.${top}`))
    .slice(0, parentsMax)
}

function warnOfEnd({ name }: PersistentChallenge, untilMs: number, { clock, notice }: PersistSettings): void {
  if (untilMs > clock.nowMs() + endsSoonMs) return
  notice(`the record that lets the CA issue for ${name} ends at ${moment(untilMs)}: renewals fail from then on`)
}

function refuse(challenge: PersistentChallenge, { at, zone, servers, lacking }: Looked): never {
  const { value } = persistentRecord(challenge)
  const { name, wildcard } = challenge
  const names = wildcard ? `${name} and *.${name}` : name
  const nowhere = lacking.length === servers && !lacking.some(({ unreachable }) => unreachable)
  fail(nowhere ? 'DNS_RECORD_MISSING' : 'DNS_NOT_PROPAGATED', {
    what: `${lacking.length} of ${servers} name servers of ${zone} show no record that lets the CA issue for ${names}`,
    fact: lacking.map(sayLacking).join('; '),
    state: 'the CA was not told to look; what is served was not touched',
    next: `set this record, then run again with --force: ${at}. TXT ${quote(txtText(value), valueCharactersMax)}`,
  })
}

/** What was meant for us is told with its defect; what was not, as it is. */
function sayDefects(values: readonly string[], judged: readonly Judged[]): string {
  const told = values.flatMap((value, at) => {
    const each = judged[at]
    return each && 'defect' in each ? [`"${quote(value, valueCharactersMax)}": ${each.defect}`] : []
  })
  return told.length > defectsShown ? otherValues(values) : told.join(', ')
}

const defectsShown = 4

function moment(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? 'no date' : date.toISOString().replace('.000Z', 'Z')
}
