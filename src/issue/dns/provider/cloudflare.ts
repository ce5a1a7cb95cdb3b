import { z } from 'zod'
import { fail, quote } from '../../../base/errors.ts'
import { readToken } from '../../../dns/credential.ts'
import { ancestors, sameName } from '../../../dns/message.ts'
import { type ApiAnswer, type ApiCall, type ApiEndpoint, apiRefused, apiUrl, callApi } from './https.ts'
import { type DnsProvider, type TxtRecord, txtTtlS } from './provider.ts'

export interface CloudflareSettings {
  /** Holds an API token with Zone.DNS:Edit and, where no zone is named, Zone.Zone:Read. */
  readonly tokenFile: string
  /** The ID of the zone; default: looked up by name. */
  readonly zoneId?: string
  readonly api?: Partial<ApiEndpoint>
}

const endpoint = 'https://api.cloudflare.com/client/v4'
const recordsMax = 1000
/** What the API says of a record that is there already, and of one that is gone: both are what was wanted. */
const alreadyThere = [81057, 81058]
const notThere = [81044]

const envelope = z.object({
  success: z.boolean(),
  errors: z.array(z.object({ code: z.number(), message: z.string() })).nullish(),
  result: z.unknown(),
})
const zones = z.array(z.object({ id: z.string(), name: z.string() }))
const txtRecords = z.array(z.object({ id: z.string(), name: z.string(), content: z.string() }))

type Send = (call: Omit<ApiCall, 'headers' | 'body'> & { readonly json?: unknown }, subject: string) => Promise<unknown>

/** Cloudflare, API version 4. */
export function cloudflare(settings: CloudflareSettings): DnsProvider {
  const at: ApiEndpoint = { endpoint, ...settings.api }
  return {
    async add(record, signal) {
      const send = await sender(at, settings, signal)
      const zone = settings.zoneId ?? (await zoneIdOf(record.name, send))
      const json = { type: 'TXT', name: record.name, content: `"${record.value}"`, ttl: txtTtlS }
      await send({ method: 'POST', path: `/zones/${encodeURIComponent(zone)}/dns_records`, json }, record.name)
    },
    async remove(record, signal) {
      const send = await sender(at, settings, signal)
      const zone = settings.zoneId ?? (await zoneIdOf(record.name, send))
      for (const id of await recordsOf(zone, record, send)) {
        const path = `/zones/${encodeURIComponent(zone)}/dns_records/${encodeURIComponent(id)}`
        await send({ method: 'DELETE', path }, record.name)
      }
    },
  }
}

async function sender(at: ApiEndpoint, { tokenFile }: CloudflareSettings, signal: AbortSignal): Promise<Send> {
  const token = await readToken(tokenFile)
  const { host } = apiUrl(at, '')
  return async ({ method, path, json }, subject) => {
    const headers = { authorization: `Bearer ${token.reveal()}`, accept: 'application/json' }
    const answer = await callApi(
      at,
      json === undefined
        ? { method, path, headers }
        : { method, path, headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(json) },
      signal,
    )
    return judge(host, subject, answer)
  }
}

function judge(host: string, subject: string, { status, body }: ApiAnswer): unknown {
  const parsed = envelope.safeParse(jsonOf(body))
  if (!parsed.success) return apiRefused(host, subject, status, 'an answer that is not of this API')
  const { success, errors, result } = parsed.data
  const codes = (errors ?? []).map(({ code }) => code)
  if (success || codes.some((code) => [...alreadyThere, ...notThere].includes(code))) return result
  return apiRefused(host, subject, status, (errors ?? []).map(({ code, message }) => `${code} ${message}`).join('; '))
}

async function zoneIdOf(name: string, send: Send): Promise<string> {
  for (const candidate of ancestors(name).slice(1)) {
    const path = `/zones?${new URLSearchParams({ name: candidate })}`
    const result = await send({ method: 'GET', path }, `the zone ${candidate}`)
    const zone = zones.safeParse(result).data?.find((each) => sameName(each.name, candidate))
    if (zone) return zone.id
  }
  return fail('DNS_ZONE_NOT_FOUND', {
    what: `Cloudflare shows no zone for ${quote(name)}`,
    fact: 'neither its parent nor a name above that is a zone that this token may see',
    state: 'nothing was written',
    next: 'let the token see the zone (Zone.Zone:Read), or give the ID of the zone',
  })
}

/** The IDs of the records with this name and value. */
async function recordsOf(zone: string, { name, value }: TxtRecord, send: Send): Promise<string[]> {
  const query = new URLSearchParams({ type: 'TXT', name, per_page: String(recordsMax) })
  const path = `/zones/${encodeURIComponent(zone)}/dns_records?${query}`
  const result = await send({ method: 'GET', path }, name)
  const parsed = txtRecords.safeParse(result)
  if (!parsed.success) {
    fail('DNS_PROVIDER_FAILED', {
      what: `Cloudflare does not list the TXT records of ${name}`,
      fact: 'its answer is not of this API',
      state: 'nothing was changed',
      next: 'try again later',
    })
  }
  // The API gives a value back as it was put in, with quotation marks or without.
  return parsed.data
    .filter((each) => sameName(each.name, name) && each.content.replace(/^"(.*)"$/, '$1') === value)
    .map(({ id }) => id)
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
