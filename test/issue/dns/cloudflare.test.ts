import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { type CloudflareSettings, cloudflare } from '../../../src/issue/dns/provider/cloudflare.ts'
import { printed, refusalOf } from '../../base/refusals.ts'
import { type Scratch, scratch } from '../../base/scratch.ts'
import { dnsProviderContract } from '../../contract/dns-provider.ts'
import { type ApiResponse, startApi } from '../../real/api.ts'
import { chooseEndpoint } from '../../real/running.ts'
import { type CloudflareApi, startCloudflareApi } from './cloudflare-api.ts'

const record = { name: '_acme-challenge.www.domain.example', value: 'LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ' }
const within = () => AbortSignal.timeout(20_000)

async function tokenFile(place: Scratch, token: string): Promise<string> {
  await writeFile(place.file('token'), `${token}\n`, { mode: 0o600 })
  return place.file('token')
}

async function start(settings: (api: CloudflareApi) => Partial<CloudflareSettings> = () => ({})) {
  const api = await startCloudflareApi()
  const place = await scratch()
  const file = await tokenFile(place, api.token)
  return {
    api,
    provider: cloudflare({ tokenFile: file, api: api.api, ...settings(api) }),
    values: async (name: string) => api.values(name),
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]()
      await place[Symbol.asyncDispose]()
    },
  }
}

dnsProviderContract('cloudflare', () => start())
dnsProviderContract('cloudflare with the ID of the zone', () => start(({ zoneId }) => ({ zoneId })))

test('a zone that the token does not see is not found', async () => {
  await using place = await start()
  const name = '_acme-challenge.www.foreign.test'
  const error = await refusalOf(() => place.provider.add({ ...record, name }, within()))
  assert.equal(error.code, 'DNS_ZONE_NOT_FOUND')
  assert.deepEqual(
    place.api.requests.map(({ url }) => url.searchParams.get('name')),
    ['www.foreign.test', 'foreign.test', 'test'],
  )
})

/** Adds against an API that answers everything in one way. */
async function refusal(answer: ApiResponse | null, settings: Partial<CloudflareSettings['api']> = {}) {
  await using api = await startApi(() => answer)
  await using place = await scratch()
  const token = 'not-the-right-token-0123456789'
  const provider = cloudflare({ tokenFile: await tokenFile(place, token), api: { ...api.api, ...settings } })
  const error = await refusalOf(() => provider.add(record, within()))
  assert.ok(!printed(error).includes(token))
  return { error, requests: api.requests }
}

const said = (code: number, message: string) =>
  JSON.stringify({ success: false, errors: [{ code, message }], result: null })

test('a token that is refused is told, with the words of the API', async () => {
  await using api = await startCloudflareApi()
  await using place = await scratch()
  const provider = cloudflare({ tokenFile: await tokenFile(place, 'wrong-token-0123456789'), api: api.api })
  const error = await refusalOf(() => provider.add(record, within()))
  assert.equal(error.code, 'DNS_REFUSED')
  assert.equal(error.failure.fact, 'HTTP status 403: 10000 Authentication error')
  assert.ok(!printed(error).includes('wrong-token'))
  assert.deepEqual(api.values(record.name), [])
})

test('a limit and a failure of the API are not now; anything else is a failure', async () => {
  assert.equal((await refusal({ status: 429, body: said(971, 'rate limit') })).error.code, 'DNS_PROVIDER_BUSY')
  assert.equal((await refusal({ status: 502, body: '<html>Bad gateway</html>' })).error.code, 'DNS_PROVIDER_BUSY')
  assert.equal(
    (await refusal({ status: 400, body: said(9005, 'Content is invalid.') })).error.code,
    'DNS_PROVIDER_FAILED',
  )
  const { error } = await refusal({ status: 200, body: '{"unexpected":true}' })
  assert.equal(error.code, 'DNS_PROVIDER_FAILED')
  assert.match(error.failure.fact ?? '', /not of this API/)
})

test('a list that cannot be read is no empty list', async () => {
  const list = JSON.stringify({ success: true, errors: [], result: { records: 'elsewhere' } })
  await using api = await startApi(() => ({ status: 200, body: list }))
  await using place = await scratch()
  const provider = cloudflare({ tokenFile: await tokenFile(place, 'some-token'), zoneId: 'z', api: api.api })
  assert.equal((await refusalOf(() => provider.remove(record, within()))).code, 'DNS_PROVIDER_FAILED')
})

test('a redirection is not followed: the token goes nowhere else', async () => {
  await using elsewhere = await startApi(() => ({ status: 200, body: said(1, 'elsewhere') }))
  const { error, requests } = await refusal({ status: 302, body: '', headers: { location: elsewhere.api.endpoint } })
  assert.equal(error.code, 'DNS_PROVIDER_FAILED')
  assert.match(error.failure.fact ?? '', /^HTTP status 302/)
  assert.deepEqual([requests.length, elsewhere.requests.length], [1, 0])
})

test('silence, too much, a certificate that nobody vouches for, and nobody there are unreachable', async () => {
  const silent = (await refusal(null, { timeoutMs: 200 })).error
  assert.equal(silent.code, 'DNS_UNREACHABLE')
  assert.equal(silent.failure.fact, 'no whole answer within 200 ms')
  const large = (await refusal({ status: 200, body: 'x'.repeat(5 * 1024 * 1024) })).error
  assert.equal(large.code, 'DNS_UNREACHABLE')
  assert.match(large.failure.fact ?? '', /more than 4194304 bytes/)
  await using other = await startApi(() => null)
  const untrusted = await refusal({ status: 200, body: '' }, { trust: other.api.trust ?? '' })
  assert.equal(untrusted.error.code, 'DNS_UNREACHABLE')
  assert.match(untrusted.error.failure.fact ?? '', /SELF_SIGNED/)
  assert.deepEqual(untrusted.requests, [])
  const nobody = await chooseEndpoint({ address: '127.0.0.1' })
  const down = (await refusal(null, { endpoint: `https://127.0.0.1:${nobody.port}` })).error
  assert.equal(down.failure.fact, 'ECONNREFUSED')
})

test('an endpoint without TLS, and a token file with more than a token, are refused before anything is sent', async () => {
  for (const endpoint of ['http://localhost:1', 'https://user@localhost', 'localhost', '']) {
    const { error, requests } = await refusal(null, { endpoint })
    assert.equal(error.code, 'CONFIG_BAD_VALUE')
    assert.deepEqual(requests, [])
  }
  await using place = await scratch()
  for (const text of ['', 'two words', 'two\nlines']) {
    const provider = cloudflare({ tokenFile: await tokenFile(place, text) })
    assert.equal((await refusalOf(() => provider.add(record, within()))).code, 'DNS_CREDENTIAL_BAD')
  }
})

test('an interrupted call ends with the reason of the interruption', async () => {
  await using api = await startApi(() => null)
  await using place = await scratch()
  const provider = cloudflare({ tokenFile: await tokenFile(place, 'some-token'), api: api.api })
  const reason = new Error('enough')
  const stop = new AbortController()
  setTimeout(() => stop.abort(reason), 100)
  await assert.rejects(provider.add(record, stop.signal), (error) => error === reason)
})
