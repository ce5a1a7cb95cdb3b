import { createHash, createHmac } from 'node:crypto'
import { type ApiRequest, type ApiResponse, type RunningApi, startApi } from '../../real/api.ts'

export interface Route53Api extends RunningApi {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** As the name servers show them: only what is INSYNC. */
  values(name: string): readonly string[]
  /** Runs before the next change is looked at. */
  beforeChange: (() => void) | null
  /** Another writer, who does not ask for the zone first. */
  put(name: string, values: readonly string[]): void
}

interface RecordSet {
  readonly ttl: string
  readonly values: readonly string[]
}

const zones = [
  { id: 'ZPRIVATE', name: 'domain.example.', isPrivate: true },
  { id: 'Z0123456789ABC', name: 'domain.example.', isPrivate: false },
  { id: 'ZOTHER', name: 'zebra.example.', isPrivate: false },
]
const zoneId = 'Z0123456789ABC'

/** The part of Route 53 that is needed, as its documentation has it; signatures are checked. */
export async function startRoute53Api(): Promise<Route53Api> {
  const accessKeyId = 'AKIAIOSFODNN7EXAMPLE'
  const secretAccessKey = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
  let written = new Map<string, RecordSet>()
  let served = new Map<string, RecordSet>()
  /** How often a change is PENDING still. */
  const changes = new Map<string, number>()

  function answer(request: ApiRequest): ApiResponse {
    const complaint = signatureComplaint(request, accessKeyId, secretAccessKey)
    if (complaint !== null) return refuse(403, complaint, 'The request signature we calculated does not match.')
    const { method, url, body } = request
    const path = url.pathname.replace(/^\/2013-04-01/, '')
    const query = url.searchParams
    if (method === 'GET' && path === '/hostedzonesbyname') return listZones(query.get('dnsname') ?? '')
    if (method === 'GET' && path === `/hostedzone/${zoneId}/rrset` && query.get('type') === 'TXT') {
      return listRecords(absolute(query.get('name') ?? ''))
    }
    if (method === 'POST' && path === `/hostedzone/${zoneId}/rrset/`) return change(body)
    const [, id] = /^\/change\/(\w+)$/.exec(path) ?? []
    if (method === 'GET' && id !== undefined && changes.has(id)) return look(id)
    return refuse(404, 'NoSuchHostedZone', `No hosted zone found with ID: ${path}`)
  }

  function listZones(name: string): ApiResponse {
    const from = zones.findIndex((each) => each.name >= absolute(name))
    const listed = (from < 0 ? [] : zones.slice(from)).map(
      (each) =>
        `<HostedZone><Id>/hostedzone/${each.id}</Id><Name>${each.name}</Name><Config><PrivateZone>${each.isPrivate}</PrivateZone></Config></HostedZone>`,
    )
    return xml(
      200,
      `<ListHostedZonesByNameResponse xmlns="https://route53.amazonaws.com/doc/2013-04-01/"><HostedZones>${listed.join('')}</HostedZones></ListHostedZonesByNameResponse>`,
    )
  }

  function listRecords(name: string): ApiResponse {
    const [next] = [...written.keys()].filter((each) => each >= name).sort()
    const set = next === undefined ? undefined : written.get(next)
    const records = set?.values.map(
      (each) => `<ResourceRecord><Value>${each.replaceAll('"', '&quot;')}</Value></ResourceRecord>`,
    )
    const listed = set
      ? `<ResourceRecordSet><Name>${next}</Name><Type>TXT</Type><TTL>${set.ttl}</TTL><ResourceRecords>${records?.join('')}</ResourceRecords></ResourceRecordSet>`
      : ''
    return xml(
      200,
      `<ListResourceRecordSetsResponse><ResourceRecordSets>${listed}</ResourceRecordSets><IsTruncated>false</IsTruncated><MaxItems>1</MaxItems></ListResourceRecordSetsResponse>`,
    )
  }

  /** All changes of a batch or none of them. */
  function change(body: string): ApiResponse {
    api.beforeChange?.()
    api.beforeChange = null
    const after = new Map(written)
    for (const [, text = ''] of body.matchAll(/<Change>(.*?)<\/Change>/gs)) {
      const one = (name: string) => new RegExp(`<${name}>(.*?)</${name}>`, 's').exec(text)?.[1] ?? ''
      const name = absolute(one('Name'))
      const values = [...text.matchAll(/<Value>(.*?)<\/Value>/g)].map(([, value = '']) =>
        value.replaceAll('&#34;', '"'),
      )
      const set = { ttl: one('TTL'), values }
      const there = after.get(name)
      const fits = one('Action') === 'DELETE' ? there !== undefined && same(there, set) : there === undefined
      if (!fits || values.some((value) => !/^"[^"]{1,255}"$/.test(value)) || one('Type') !== 'TXT') {
        return refuse(
          400,
          'InvalidChangeBatch',
          `Tried to ${one('Action').toLowerCase()} resource record set ${name} type TXT`,
        )
      }
      if (one('Action') === 'DELETE') after.delete(name)
      else after.set(name, set)
    }
    written = after
    const id = `C${changes.size + 1}`
    changes.set(id, 1)
    return xml(
      200,
      `<ChangeResourceRecordSetsResponse><ChangeInfo><Id>/change/${id}</Id><Status>PENDING</Status></ChangeInfo></ChangeResourceRecordSetsResponse>`,
    )
  }

  function look(id: string): ApiResponse {
    const left = changes.get(id) ?? 0
    changes.set(id, left - 1)
    if (left <= 0) served = new Map(written)
    return xml(
      200,
      `<GetChangeResponse><ChangeInfo><Id>/change/${id}</Id><Status>${left > 0 ? 'PENDING' : 'INSYNC'}</Status></ChangeInfo></GetChangeResponse>`,
    )
  }

  const running = await startApi(answer)
  const api: Route53Api = {
    ...running,
    accessKeyId,
    secretAccessKey,
    values: (name) => (served.get(absolute(name))?.values ?? []).map((each) => each.slice(1, -1)),
    beforeChange: null,
    put: (name, values) => void written.set(absolute(name), { ttl: '300', values: values.map((each) => `"${each}"`) }),
  }
  return api
}

function same(left: RecordSet, right: RecordSet): boolean {
  return left.ttl === right.ttl && left.values.toSorted().join() === right.values.toSorted().join()
}

function absolute(name: string): string {
  return name.endsWith('.') ? name : `${name}.`
}

function xml(status: number, body: string): ApiResponse {
  return { status, body: `<?xml version="1.0"?>\n${body}`, headers: { 'content-type': 'text/xml' } }
}

function refuse(status: number, code: string, message: string): ApiResponse {
  return xml(
    status,
    `<ErrorResponse><Error><Type>Sender</Type><Code>${code}</Code><Message>${message}</Message></Error></ErrorResponse>`,
  )
}

/** The code of AWS for what is wrong with a signature; null where nothing is. Written from its documentation, not from our own signing. */
function signatureComplaint({ method, url, headers, body }: ApiRequest, id: string, secret: string): string | null {
  const given =
    /^AWS4-HMAC-SHA256 Credential=(\S+?)\/(\d{8})\/([\w-]+)\/(\w+)\/aws4_request, SignedHeaders=([\w;-]+), Signature=([0-9a-f]{64})$/
  const [, key, day = '', region = '', service = '', names = '', signature] =
    given.exec(headers.authorization ?? '') ?? []
  if (key === undefined) return 'IncompleteSignature'
  if (key !== id || region !== 'us-east-1' || service !== 'route53') return 'InvalidClientTokenId'
  const date = String(headers['x-amz-date'] ?? '')
  const sentMs = Date.parse(date.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'))
  if (!date.startsWith(day) || !(Math.abs(Date.now() - sentMs) < 300_000)) return 'RequestExpired'
  const signed = names.split(';')
  if (!signed.includes('host') || !signed.includes('x-amz-date')) return 'IncompleteSignature'
  const lines = signed.map((name) => `${name}:${String(headers[name] ?? '').trim()}\n`).join('')
  const query = url.search.slice(1).split('&').filter(Boolean).sort().join('&')
  const hash = createHash('sha256').update(body).digest('hex')
  const request = `${method}\n${url.pathname}\n${query}\n${lines}\n${names}\n${hash}`
  const scope = `${day}/${region}/${service}/aws4_request`
  const text = `AWS4-HMAC-SHA256\n${date}\n${scope}\n${createHash('sha256').update(request).digest('hex')}`
  let signing: Buffer = Buffer.from(`AWS4${secret}`)
  for (const part of [day, region, service, 'aws4_request', text])
    signing = createHmac('sha256', signing).update(part).digest()
  return signing.toString('hex') === signature ? null : 'SignatureDoesNotMatch'
}
