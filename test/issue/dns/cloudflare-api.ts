import { type ApiRequest, type ApiResponse, type RunningApi, startApi } from '../../real/api.ts'

export interface CloudflareApi extends RunningApi {
  readonly token: string
  readonly zoneId: string
  values(name: string): readonly string[]
}

interface StoredRecord {
  readonly id: string
  readonly name: string
  readonly content: string
}

const prefix = '/client/v4'
const zoneId = '023e105f4ecef8ad9ca31a8372d0c353'
const otherZone = { id: '9a7806061c88ada191ed06f989cc3dac', name: 'other.example' }

/** The part of the API v4 of Cloudflare that is needed, as its documentation has it: one zone, domain.example. */
export async function startCloudflareApi(): Promise<CloudflareApi> {
  const token = 'v1.0-144c9defac04969c7bfad8ef-631a41d003a32d25'
  const records: StoredRecord[] = []
  let made = 0

  const ok = (result: unknown): ApiResponse => say(200, { success: true, errors: [], messages: [], result })
  const refuse = (status: number, code: number, message: string): ApiResponse =>
    say(status, { success: false, errors: [{ code, message }], messages: [], result: null })

  function answer({ method, url, headers, body }: ApiRequest): ApiResponse {
    if (headers.authorization !== `Bearer ${token}`) return refuse(403, 10000, 'Authentication error')
    const path = url.pathname.slice(prefix.length)
    if (method === 'GET' && path === '/zones') {
      const zones = [{ id: zoneId, name: 'domain.example' }, otherZone]
      return ok(zones.filter(({ name }) => name === url.searchParams.get('name')))
    }
    const [, zone, id] = /^\/zones\/(\w+)\/dns_records(?:\/(\w+))?$/.exec(path) ?? []
    if (zone !== zoneId)
      return refuse(404, 7003, 'Could not route to the zone, perhaps your object identifier is invalid?')
    if (method === 'GET' && id === undefined) {
      const name = url.searchParams.get('name')
      const found = url.searchParams.get('type') === 'TXT' ? records.filter((each) => each.name === name) : []
      return ok(found.map((each) => ({ ...each, type: 'TXT' })))
    }
    if (method === 'POST' && id === undefined && headers['content-type'] === 'application/json') return create(body)
    if (method === 'DELETE' && id !== undefined) {
      const at = records.findIndex((each) => each.id === id)
      if (at < 0) return refuse(404, 81044, 'Record does not exist.')
      records.splice(at, 1)
      return ok({ id })
    }
    return refuse(405, 10405, 'Method not allowed for this authentication scheme')
  }

  function create(body: string): ApiResponse {
    const { type, name, content, ttl } = JSON.parse(body) as Record<string, unknown>
    if (type !== 'TXT' || typeof name !== 'string' || typeof content !== 'string')
      return refuse(400, 9005, 'Content is invalid.')
    if (ttl !== 1 && !(Number(ttl) >= 60)) return refuse(400, 9021, 'Invalid TTL.')
    if (!name.endsWith('domain.example')) return refuse(400, 9000, 'DNS name is invalid.')
    if (records.some((each) => each.name === name && each.content === content)) {
      return refuse(400, 81058, 'An identical record already exists.')
    }
    made += 1
    const record = { id: `${made}`.padStart(32, 'f'), name, content }
    records.push(record)
    return ok({ ...record, type })
  }

  const running = await startApi(answer, prefix)
  return {
    ...running,
    token,
    zoneId,
    values: (name) => records.filter((each) => each.name === name).map(({ content }) => content.replaceAll('"', '')),
  }
}

function say(status: number, body: unknown): ApiResponse {
  return { status, body: JSON.stringify(body), headers: { 'content-type': 'application/json' } }
}
