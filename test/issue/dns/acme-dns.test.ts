import assert from 'node:assert/strict'
import { writeFile } from 'node:fs/promises'
import { test } from 'node:test'
import { acmeDns } from '../../../src/issue/dns/provider/acme-dns.ts'
import { printed, refusalOf } from '../../base/refusals.ts'
import { scratch } from '../../base/scratch.ts'
import { type ApiResponse, startApi } from '../../real/api.ts'

const account = {
  username: 'c36f50e8-4632-44f0-83fe-e070fef28a10',
  password: 'htB9mR9DYgcu9bX_afHF62erXaH2TS7bg9KW3F7Z',
  fulldomain: '8e5700ea-a4bf-41c7-8a77-e990661dcc6a.auth.domain.example',
  subdomain: '8e5700ea-a4bf-41c7-8a77-e990661dcc6a',
  allowfrom: [],
}
const values = ['a', 'b', 'c'].map((letter) => letter.repeat(43)) as [string, string, string]
const within = () => AbortSignal.timeout(20_000)
const recordOf = (value: string) => ({ name: account.fulldomain, value })

/** What its documentation says: two values an account, the older one gives way. */
function startAcmeDns(kept: string[]) {
  return startApi(({ method, url, headers, body }): ApiResponse => {
    if (method !== 'POST' || url.pathname !== '/update') return { status: 404, body: '' }
    if (headers['x-api-user'] !== account.username || headers['x-api-key'] !== account.password) {
      return { status: 401, body: '{"error":"forbidden"}' }
    }
    const { subdomain, txt } = JSON.parse(body) as Record<string, string>
    if (subdomain !== account.subdomain) return { status: 401, body: '{"error":"forbidden"}' }
    if (!/^[\w-]{43}$/.test(txt ?? '')) return { status: 400, body: '{"error":"bad_txt"}' }
    kept.unshift(txt ?? '')
    kept.splice(2)
    return { status: 200, body: JSON.stringify({ txt }) }
  })
}

async function withAccount(text: string, work: (file: string) => Promise<void>): Promise<void> {
  await using place = await scratch()
  await writeFile(place.file('account.json'), text, { mode: 0o600 })
  await work(place.file('account.json'))
}

test('two values stand side by side, a value that is sent twice pushes nothing out, and removing does nothing', async () => {
  const kept: string[] = []
  await using api = await startAcmeDns(kept)
  await withAccount(JSON.stringify(account), async (accountFile) => {
    const provider = acmeDns({ accountFile, api: api.api })
    for (const value of [values[0], values[1], values[1], values[0]]) await provider.add(recordOf(value), within())
    assert.deepEqual([...kept].sort(), [values[0], values[1]])
    await provider.remove(recordOf(values[0]), within())
    assert.deepEqual([...kept].sort(), [values[0], values[1]])
    await provider.add(recordOf(values[2]), within())
    assert.deepEqual([...kept].sort(), [values[1], values[2]])
  })
})

test('of several accounts the one is taken whose name is written', async () => {
  const kept: string[] = []
  await using api = await startAcmeDns(kept)
  const other = { ...account, username: 'other', password: 'other', fulldomain: 'other.auth.domain.example' }
  await withAccount(JSON.stringify({ 'a.example': other, 'b.example': account }), async (accountFile) => {
    await acmeDns({ accountFile, api: api.api }).add(recordOf(values[0]), within())
    assert.deepEqual(kept, [values[0]])
  })
})

test('a refusal, a name that is not delegated, and a file that is no account are told apart', async () => {
  await using api = await startAcmeDns([])
  await withAccount(JSON.stringify({ ...account, password: 'anotherpassword' }), async (accountFile) => {
    const provider = acmeDns({ accountFile, api: api.api })
    const refused = await refusalOf(() => provider.add(recordOf(values[0]), within()))
    assert.equal(refused.code, 'DNS_REFUSED')
    assert.match(refused.failure.fact ?? '', /^HTTP status 401: .*forbidden/)
    assert.ok(!printed(refused).includes('anotherpassword'))
    const name = '_acme-challenge.www.domain.example'
    const undelegated = await refusalOf(() => provider.add({ name, value: values[0] }, within()))
    assert.equal(undelegated.code, 'DNS_PROVIDER_FAILED')
    assert.equal(undelegated.failure.next, `make it a CNAME: ${name} CNAME ${account.fulldomain}`)
  })
  for (const text of ['', '[]', '{"password":"anotherpassword"}', `${JSON.stringify(account)}x`]) {
    await withAccount(text, async (accountFile) => {
      const bad = await refusalOf(() => acmeDns({ accountFile, api: api.api }).add(recordOf(values[0]), within()))
      assert.equal(bad.code, 'DNS_CREDENTIAL_BAD', text)
      assert.ok(!printed(bad).includes('anotherpassword'))
    })
  }
})
