import { createHash, createHmac } from 'node:crypto'
import type { Secret } from '../../../base/secret.ts'

export interface AwsCredentials {
  readonly accessKeyId: string
  readonly secretAccessKey: Secret<string>
  readonly sessionToken?: Secret<string>
}

export interface ToSign {
  readonly method: string
  readonly url: URL
  /** More than `host`, which is always signed. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  readonly region: string
  readonly service: string
}

/** The headers of a request with AWS Signature Version 4: those given, x-amz-date, the session token, authorization. */
export function signedHeaders(
  { method, url, headers, body, region, service }: ToSign,
  credentials: AwsCredentials,
  { nowMs }: { readonly nowMs: number },
): Record<string, string> {
  const time = new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '')
  const scope = `${time.slice(0, 8)}/${region}/${service}/aws4_request`
  const sent = {
    ...headers,
    'x-amz-date': time,
    ...(credentials.sessionToken && { 'x-amz-security-token': credentials.sessionToken.reveal() }),
  }
  const signed = Object.entries({ ...sent, host: url.host })
    .map(([name, value]) => [name.toLowerCase(), value.trim().replace(/ +/g, ' ')] as const)
    .toSorted(([left], [right]) => (left < right ? -1 : 1))
  const names = signed.map(([name]) => name).join(';')
  const request = [
    method,
    // The URL has encoded each part once; the signature wants it encoded again.
    url.pathname.split('/').map(encoded).join('/'),
    canonicalQuery(url),
    ...signed.map(([name, value]) => `${name}:${value}`),
    '',
    names,
    sha256(body),
  ].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', time, scope, sha256(request)].join('\n')
  const secret = `AWS4${credentials.secretAccessKey.reveal()}`
  const key = scope.split('/').reduce<string | Buffer>((from, part) => hmac(from, part), secret)
  const signature = hmac(key, toSign).toString('hex')
  const authorization = `AWS4-HMAC-SHA256 Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  return { ...sent, authorization }
}

function canonicalQuery(url: URL): string {
  return [...url.searchParams]
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .toSorted()
    .join('&')
}

/** Everything but the unreserved characters of RFC 3986 section 2.3. */
function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (each) => `%${each.charCodeAt(0).toString(16).toUpperCase()}`)
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
