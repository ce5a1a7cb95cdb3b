import type { Clock } from '../../../base/clock.ts'
import { fail, quote } from '../../../base/errors.ts'
import { Secret } from '../../../base/secret.ts'
import { credentialBad, readCredential } from '../../../dns/credential.ts'
import { ancestors, sameName } from '../../../dns/message.ts'
import { type ApiAnswer, type ApiEndpoint, apiRefused, apiUrl, callApi } from './https.ts'
import { type DnsProvider, type TxtRecord, txtTtlS } from './provider.ts'
import { type AwsCredentials, signedHeaders } from './sigv4.ts'

export interface Route53Settings {
  /** As the AWS programs have it: `[profile]`, `aws_access_key_id = …`, `aws_secret_access_key = …`. */
  readonly credentialsFile: string
  /** Default: `default`. */
  readonly profile?: string
  /** Default: looked up by name among the public zones. */
  readonly hostedZoneId?: string
  /** Between two questions whether a change is everywhere; default: 3 s. */
  readonly pauseMs?: number
  readonly api?: Partial<ApiEndpoint>
}

/** Route 53 is one service for all regions, and signs for this one. */
const endpoint = 'https://route53.amazonaws.com'
const region = 'us-east-1'
const version = '/2013-04-01'
const pauseDefaultMs = 3_000
/** AWS says that a change is everywhere within 60 seconds. */
const looksMax = 60
/** Somebody else may change the same record set between our reading and our writing. */
const attemptsMax = 6

type Send = (method: 'GET' | 'POST', path: string, subject: string, body?: string) => Promise<string>

/** A TXT record set: its lifetime, and its values, each with quotation marks. */
interface RecordSet {
  readonly ttl: string
  readonly values: readonly string[]
}

/** A set in the batch is not what it was when it was read; or the batch is wrong, then it is so each time. */
class BatchRefused extends Error {
  readonly reason: unknown

  constructor(reason: unknown) {
    super('InvalidChangeBatch')
    this.reason = reason
  }
}

/** Amazon Route 53, API version 2013-04-01. */
export function route53(settings: Route53Settings, clock: Clock): DnsProvider {
  const change = async (record: TxtRecord, signal: AbortSignal, wanted: (values: readonly string[]) => string[]) => {
    const send = await sender({ endpoint, ...settings.api }, settings, clock, signal)
    const zone = settings.hostedZoneId ?? (await zoneIdOf(record.name, send))
    const id = await merge(record, zone, send, wanted)
    if (id !== null) await untilInSync(id, record, send, signal)
  }
  const pauseMs = settings.pauseMs ?? pauseDefaultMs

  async function merge(
    record: TxtRecord,
    zone: string,
    send: Send,
    wanted: (values: readonly string[]) => string[],
  ): Promise<string | null> {
    for (let attempt = 1; ; attempt++) {
      const before = await recordSet(zone, record.name, send)
      const values = wanted(before?.values ?? [])
      if (values.length === (before?.values.length ?? 0)) return null
      const path = `${version}/hostedzone/${encodeURIComponent(zone)}/rrset/`
      try {
        const xml = await send('POST', path, record.name, changeBatch(record.name, before, values))
        return idOf(tag(xml, 'Id') ?? '')
      } catch (error) {
        if (!(error instanceof BatchRefused)) throw error
        if (attempt >= attemptsMax) throw error.reason
      }
    }
  }

  async function untilInSync(id: string, record: TxtRecord, send: Send, signal: AbortSignal): Promise<void> {
    for (let look = 0; look < looksMax; look++) {
      const xml = await send('GET', `${version}/change/${encodeURIComponent(id)}`, `the change ${id}`)
      if (tag(xml, 'Status') === 'INSYNC') return
      await clock.sleep(pauseMs, signal)
    }
    fail('DNS_PROVIDER_BUSY', {
      what: `Route 53 has not brought the TXT record of ${record.name} to its name servers`,
      fact: `the change ${quote(id)} is PENDING after ${looksMax} looks`,
      state: 'the record is written',
      next: 'try again later',
    })
  }

  return {
    add: (record, signal) => change(record, signal, (values) => [...new Set([...values, `"${record.value}"`])]),
    remove: (record, signal) =>
      change(record, signal, (values) => values.filter((each) => each !== `"${record.value}"`)),
  }
}

async function sender(at: ApiEndpoint, settings: Route53Settings, clock: Clock, signal: AbortSignal): Promise<Send> {
  const credentials = await readAwsCredentials(settings.credentialsFile, settings.profile ?? 'default')
  return async (method, path, subject, body) => {
    const url = apiUrl(at, path)
    const type: Record<string, string> = body === undefined ? {} : { 'content-type': 'application/xml' }
    const toSign = { method, url, headers: type, body: body ?? '', region, service: 'route53' }
    const headers = signedHeaders(toSign, credentials, { nowMs: clock.nowMs() })
    const call = { method, path, headers, ...(body !== undefined && { body }) }
    return judge(url.host, subject, await callApi(at, call, signal))
  }
}

function judge(host: string, subject: string, { status, body }: ApiAnswer): string {
  if (status === 200) return body
  const code = tag(body, 'Code') ?? (tag(body, 'InvalidChangeBatch') === null ? '' : 'InvalidChangeBatch')
  const said = `${code} ${tag(body, 'Message') ?? ''}`.trim()
  // Both come with status 400, and mean: not now.
  const busy = code === 'Throttling' || code === 'PriorRequestNotComplete'
  try {
    return apiRefused(host, subject, busy ? 429 : status, said)
  } catch (reason) {
    throw code === 'InvalidChangeBatch' ? new BatchRefused(reason) : reason
  }
}

async function zoneIdOf(name: string, send: Send): Promise<string> {
  for (const candidate of ancestors(name).slice(1)) {
    const query = new URLSearchParams({ dnsname: candidate, maxitems: '10' })
    const xml = await send('GET', `${version}/hostedzonesbyname?${query}`, `the zone ${candidate}`)
    const zone = tags(xml, 'HostedZone').find(
      (each) => sameName(tag(each, 'Name') ?? '', candidate) && tag(each, 'PrivateZone') !== 'true',
    )
    if (zone !== undefined) return idOf(tag(zone, 'Id') ?? '')
  }
  return fail('DNS_ZONE_NOT_FOUND', {
    what: `Route 53 has no public zone for ${quote(name)}`,
    fact: 'neither its parent nor a name above that is a zone of this account',
    state: 'nothing was written',
    next: 'check the account, or give the ID of the hosted zone',
  })
}

async function recordSet(zone: string, name: string, send: Send): Promise<RecordSet | null> {
  const query = new URLSearchParams({ name, type: 'TXT', maxitems: '1' })
  const xml = await send('GET', `${version}/hostedzone/${encodeURIComponent(zone)}/rrset?${query}`, name)
  if (tag(xml, 'IsTruncated') === null) {
    fail('DNS_PROVIDER_FAILED', {
      what: `Route 53 does not list the TXT records of ${name}`,
      fact: 'its answer is not of this API',
      state: 'nothing was changed',
      next: 'try again later',
    })
  }
  // The list begins at the name that was asked for, or at the next one.
  const set = tags(xml, 'ResourceRecordSet').find(
    (each) => sameName(tag(each, 'Name') ?? '', name) && tag(each, 'Type') === 'TXT',
  )
  if (set === undefined) return null
  return { ttl: tag(set, 'TTL') ?? String(txtTtlS), values: tags(set, 'Value').map(unescaped) }
}

/**
 * All or nothing: the deletion names the set exactly as it was read, so a set that somebody changed since is refused, and
 * none of their values is lost.
 */
function changeBatch(name: string, before: RecordSet | null, values: readonly string[]): string {
  const set = (action: string, { ttl, values: all }: RecordSet) => {
    const records = all.map((value) => `<ResourceRecord><Value>${escaped(value)}</Value></ResourceRecord>`).join('')
    return `<Change><Action>${action}</Action><ResourceRecordSet><Name>${escaped(name)}</Name><Type>TXT</Type><TTL>${ttl}</TTL><ResourceRecords>${records}</ResourceRecords></ResourceRecordSet></Change>`
  }
  const changes = [
    ...(before === null ? [] : [set('DELETE', before)]),
    ...(values.length === 0 ? [] : [set('CREATE', { ttl: String(txtTtlS), values })]),
  ].join('')
  return `<?xml version="1.0" encoding="UTF-8"?>\n<ChangeResourceRecordSetsRequest xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><ChangeBatch><Changes>${changes}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>`
}

/** Answers of this API have no attributes and no CDATA in what we read. */
function tags(xml: string, name: string): string[] {
  return [...xml.matchAll(new RegExp(`<${name}(?: [^>]*)?>([\\s\\S]*?)</${name}>`, 'g'))].map(([, inner = '']) => inner)
}

function tag(xml: string, name: string): string | null {
  return tags(xml, name)[0]?.trim() ?? null
}

/** `/hostedzone/Z1` and `/change/C1`, as answers have them. */
function idOf(path: string): string {
  return path.split('/').at(-1) ?? path
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (each) => `&#${each.charCodeAt(0)};`)
}

function unescaped(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
  return text.replace(/&(?:#(\d{1,4})|([a-z]{2,4}));/g, (whole, point?: string, name?: string) =>
    point === undefined ? (named[name ?? ''] ?? whole) : String.fromCodePoint(Number(point)),
  )
}

async function readAwsCredentials(file: string, profile: string): Promise<AwsCredentials> {
  const text = (await readCredential(file)).reveal()
  const sections = text.split(/^\s*\[\s*/m).slice(1)
  const names = sections.map((each) => /^([^\]\n]*)\]/.exec(each)?.[1]?.trim() ?? '')
  const section = sections[names.indexOf(profile)]
  const setting = (name: string) => new RegExp(`^\\s*${name}\\s*=\\s*(\\S+)\\s*$`, 'm').exec(section ?? '')?.[1]
  const accessKeyId = setting('aws_access_key_id')
  const secretAccessKey = setting('aws_secret_access_key')
  const sessionToken = setting('aws_session_token')
  if (accessKeyId === undefined || secretAccessKey === undefined) {
    const known = names.map((each) => quote(each)).join(', ')
    credentialBad(
      file,
      section === undefined
        ? `it has no profile ${quote(profile)}; its profiles: ${known === '' ? 'none' : known}`
        : `profile ${quote(profile)} lacks aws_access_key_id or aws_secret_access_key`,
      'write it as the AWS programs do',
    )
  }
  return {
    accessKeyId,
    secretAccessKey: new Secret(secretAccessKey),
    ...(sessionToken !== undefined && { sessionToken: new Secret(sessionToken) }),
  }
}
