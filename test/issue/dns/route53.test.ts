import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { type Clock, systemClock } from '../../../src/base/clock.ts'
import { Secret } from '../../../src/base/secret.ts'
import { route53 } from '../../../src/issue/dns/provider/route53.ts'
import { signedHeaders } from '../../../src/issue/dns/provider/sigv4.ts'
import { printed, refusalOf } from '../../base/refusals.ts'
import { scratch } from '../../base/scratch.ts'
import { dnsProviderContract } from '../../contract/dns-provider.ts'
import { startApi } from '../../real/api.ts'
import { startRoute53Api } from './route53-api.ts'

const record = { name: '_acme-challenge.www.domain.example', value: 'LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ' }
const within = () => AbortSignal.timeout(20_000)

const credentials = (id: string, secret: string) =>
  `[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = nothing\n\n[default]\naws_access_key_id = ${id}\naws_secret_access_key = ${secret}\n`

async function start({ clock = systemClock, text }: { clock?: Clock; text?: string } = {}) {
  const api = await startRoute53Api()
  const place = await scratch()
  const credentialsFile = place.file('credentials')
  await writeFile(credentialsFile, text ?? credentials(api.accessKeyId, api.secretAccessKey), { mode: 0o600 })
  return {
    api,
    provider: route53({ credentialsFile, api: api.api, pauseMs: 5 }, clock),
    values: async (name: string) => api.values(name),
    async [Symbol.asyncDispose]() {
      await api[Symbol.asyncDispose]()
      await place[Symbol.asyncDispose]()
    },
  }
}

dnsProviderContract('route53', () => start())

test('values that others wrote are kept, also those that come in between reading and writing', async () => {
  await using place = await start()
  place.api.put(record.name, ['theirs'])
  place.api.beforeChange = () => place.api.put(record.name, ['theirs', 'in between'])
  await place.provider.add(record, within())
  assert.deepEqual(place.api.values(record.name), ['theirs', 'in between', record.value])
  await place.provider.remove(record, within())
  assert.deepEqual(place.api.values(record.name), ['theirs', 'in between'])
})

test('another secret and a clock that is off are refused, with the words of the API', async () => {
  const wrong = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYWRONGKEY'
  await using place = await start({ text: credentials('AKIAIOSFODNN7EXAMPLE', wrong) })
  const error = await refusalOf(() => place.provider.add(record, within()))
  assert.equal(error.code, 'DNS_REFUSED')
  assert.match(error.failure.fact ?? '', /^HTTP status 403: SignatureDoesNotMatch/)
  assert.ok(!printed(error).includes(wrong))
  await using late = await start({ clock: { ...systemClock, nowMs: () => Date.now() - 3_600_000 } })
  const expired = await refusalOf(() => late.provider.add(record, within()))
  assert.match(expired.failure.fact ?? '', /RequestExpired/)
  assert.deepEqual(late.api.values(record.name), [])
})

test('an account without the zone, a file without the profile, and a profile without its key are told apart', async () => {
  await using place = await start()
  const foreign = { ...record, name: '_acme-challenge.www.foreign.test' }
  assert.equal((await refusalOf(() => place.provider.add(foreign, within()))).code, 'DNS_ZONE_NOT_FOUND')
  for (const [text, fact] of [
    ['[work]\naws_access_key_id = A\naws_secret_access_key = topsecret\n', /no profile default; its profiles: work$/],
    ['[default]\naws_access_key_id = topsecret\n', /profile default lacks/],
    ['[default\naws_secret_access_key = topsecret\n', /no profile default/],
    ['', /its profiles: none$/],
  ] as const) {
    await using other = await start({ text })
    const error = await refusalOf(() => other.provider.add(record, within()))
    assert.equal(error.code, 'DNS_CREDENTIAL_BAD')
    assert.match(error.failure.fact ?? '', fact)
    assert.ok(!printed(error).includes('topsecret'))
    assert.deepEqual(other.api.requests, [])
  }
})

test('a batch that is refused each time ends, and so does a change that never comes to its end', async () => {
  const rrset = '<ResourceRecordSets></ResourceRecordSets><IsTruncated>false</IsTruncated>'
  const zone = '<HostedZone><Id>/hostedzone/Z1</Id><Name>www.domain.example.</Name></HostedZone>'
  const answers = (change: { status: number; body: string }) =>
    startApi(({ method, url }) => {
      if (method === 'POST') return change
      if (url.pathname.includes('/change/')) return { status: 200, body: '<Status>PENDING</Status>' }
      return { status: 200, body: url.pathname.endsWith('rrset') ? rrset : zone }
    })
  await using place = await scratch()
  const credentialsFile = place.file('credentials')
  await writeFile(credentialsFile, credentials('A', 'B'), { mode: 0o600 })
  await using refusing = await answers({ status: 400, body: '<Code>InvalidChangeBatch</Code><Message>no</Message>' })
  const refused = route53({ credentialsFile, api: refusing.api, pauseMs: 1 }, systemClock)
  const error = await refusalOf(() => refused.add(record, within()))
  assert.equal(error.code, 'DNS_PROVIDER_FAILED')
  assert.equal(refusing.requests.filter(({ method }) => method === 'POST').length, 6)
  await using pending = await answers({ status: 200, body: '<Id>/change/C1</Id>' })
  const waiting = route53({ credentialsFile, api: pending.api, pauseMs: 1 }, systemClock)
  assert.equal((await refusalOf(() => waiting.add(record, within()))).code, 'DNS_PROVIDER_BUSY')
  await using throttled = await answers({
    status: 400,
    body: '<Code>Throttling</Code><Message>Rate exceeded</Message>',
  })
  const busy = route53({ credentialsFile, api: throttled.api, pauseMs: 1 }, systemClock)
  assert.equal((await refusalOf(() => busy.add(record, within()))).code, 'DNS_PROVIDER_BUSY')
})

test('a list that cannot be read is no empty list', async () => {
  await using place = await scratch()
  const credentialsFile = place.file('credentials')
  await writeFile(credentialsFile, credentials('A', 'B'), { mode: 0o600 })
  await using api = await startApi(() => ({ status: 200, body: '<html>maintenance</html>' }))
  const provider = route53({ credentialsFile, hostedZoneId: 'Z1', api: api.api }, systemClock)
  assert.equal((await refusalOf(() => provider.remove(record, within()))).code, 'DNS_PROVIDER_FAILED')
})

test('signatures are those of the examples of AWS', () => {
  const example = (url: string, headers: Record<string, string>, service: string, region = 'us-east-1') => {
    const key = {
      accessKeyId: 'AKIDEXAMPLE',
      secretAccessKey: new Secret('wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'),
    }
    const toSign = { method: 'GET', url: new URL(url), headers, body: '', region, service }
    const { authorization = '' } = signedHeaders(toSign, key, { nowMs: Date.UTC(2015, 7, 30, 12, 36) })
    return authorization.split('Signature=')[1]
  }
  // The "get-vanilla" and "get-vanilla-query-order-key-case" cases of its test suite, and the example of its manual.
  assert.equal(
    example('https://example.amazonaws.com/', {}, 'service'),
    '5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31',
  )
  assert.equal(
    example('https://example.amazonaws.com/?Param2=value2&Param1=value1', {}, 'service'),
    'b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
  )
  const form = { 'content-type': 'application/x-www-form-urlencoded; charset=utf-8' }
  assert.equal(
    example('https://iam.amazonaws.com/?Action=ListUsers&Version=2010-05-08', form, 'iam'),
    '5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7',
  )
})
