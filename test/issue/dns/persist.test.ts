import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { systemClock } from '../../../src/base/clock.ts'
import { makeResolver } from '../../../src/dns/resolver.ts'
import {
  dnsPersist01,
  judgePersistent,
  type PersistSettings,
  persistentRecord,
  txtText,
} from '../../../src/issue/dns/persist.ts'
import type { PersistentChallenge } from '../../../src/issue/solver.ts'
import { refusalOf } from '../../base/refusals.ts'
import { type RunningBind, startBind } from '../../real/bind.ts'
import { type DnsRelay, startDnsRelay } from '../../real/dns-relay.ts'
import { chooseEndpoint } from '../../real/running.ts'

const nowMs = Date.parse('2026-11-25T12:00:00Z')
const inAYear = Math.floor(Date.now() / 1000) + 365 * 86_400
const thumbprint = 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs'
const url = 'https://ca.example/acct/123'
const prefix = 'https://ca.example/account-hash/'

/** The inputs of draft-ietf-acme-dns-persist-02 section 10.2. */
const hashed = {
  name: 'example.com',
  wildcard: false,
  issuerDomains: ['authority.example', 'ca.example.net'],
  account: { kind: 'hash', prefix, url, thumbprints: [thumbprint] },
} as const
/** As -00 and -01 have it. */
const plain = { ...hashed, account: { kind: 'url', url } } as const
const named = `accounturi=${url}`

describe('what a record has to say', () => {
  test('the account is named by the hash of the test vector of draft -02, or by its URL', () => {
    assert.deepEqual(persistentRecord(hashed), {
      name: '_validation-persist.example.com',
      value:
        'authority.example; accounturi=https://ca.example/account-hash/sha-256/5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw',
    })
    assert.equal(
      persistentRecord({ ...plain, wildcard: true }).value,
      'authority.example; accounturi=https://ca.example/acct/123; policy=wildcard',
    )
  })

  test('a value of more than 255 bytes is written as several strings', () => {
    const text = txtText('x'.repeat(300))
    assert.deepEqual(
      text.split(' ').map(({ length }) => length),
      [257, 47],
    )
    assert.equal(txtText('a"b\\'), '"a\\"b\\\\"')
  })
})

/** Good, or the defect. */
function judged(value: string, challenge: Omit<PersistentChallenge, 'type'> = plain, domain = 'example.com'): string {
  const found = judgePersistent(value, domain, challenge, nowMs)
  return 'defect' in found ? found.defect : 'good'
}

describe('what lets the CA issue', () => {
  test('every form that RFC 8659 allows is taken', () => {
    for (const value of [
      `authority.example; ${named}`,
      `authority.example;${named}`,
      ` \tAuthority.EXAMPLE  ;\t accounturi \t= ${url} `,
      `ca.example.net; ${named}`,
      `authority.example; persistUntil=1800000000; policy=WildCard; ${named}`,
      `authority.example; future-tag=1; ${named}; another=`,
      `authority.example; ${named}; policy=something-else`,
    ])
      assert.equal(judged(value), 'good', value)
  })

  test('what a CA has to refuse is refused, with its reason', () => {
    for (const [value, defect] of [
      ['', 'it is for the CA of nobody'],
      [`another.example; ${named}`, 'it is for the CA another.example'],
      ['authority.example', 'it has no accounturi'],
      ['authority.example;', 'it has no accounturi'],
      [`authority.example; ${named}4`, 'its accounturi is of another account'],
      [
        `authority.example; ${named.toUpperCase().replace('ACCOUNTURI', 'accounturi')}`,
        'its accounturi is of another account',
      ],
      [`authority.example; AccountUri=${url}`, 'it has no accounturi'],
      [`authority.example; ${named}; ${named}`, 'it has accounturi twice'],
      [`authority.example; ${named};`, 'it is no list of tag=value with semicolons between them'],
      [`authority.example ${named}`, 'it does not begin with a domain name'],
      [`; ${named}`, 'it is for the CA of nobody'],
      [`authority.example; ${named}; persistUntil=tomorrow`, 'its persistUntil is no number of seconds since 1970'],
      [`authority.example; ${named}; persistUntil=1767225600`, 'it ended at 2026-01-01T00:00:00Z'],
      [
        `authority.example; ${named}; persistUntil=${nowMs / 1000 + 300}`,
        'it ends at 2026-11-25T12:05:00Z, before the CA is done',
      ],
    ] as const)
      assert.equal(judged(value), defect, value)
    const wildcard = { ...plain, wildcard: true }
    assert.equal(judged(`authority.example; ${named}`, wildcard), 'it has no policy=wildcard')
    assert.equal(judged(`authority.example; ${named}; policy=WILDCARD`, wildcard), 'good')
  })

  test('a hash counts for its domain, for all with "*", and for an earlier key of the account; a URL does not', () => {
    const of = (hash: string) => `authority.example; accounturi=${prefix}sha-256/${hash}`
    const own = '5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw'
    const any = 'NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug'
    const another = 'its accounturi is of another account'
    assert.equal(judged(of(own), hashed), 'good')
    assert.equal(judged(of(own), hashed, 'www.example.com'), another)
    assert.equal(judged(of(any), hashed, 'www.example.com'), 'good')
    assert.equal(judged(`authority.example; ${named}`, hashed), another)
    const rolled = { ...hashed, account: { ...hashed.account, thumbprints: ['x'.repeat(43), thumbprint] } } as const
    assert.equal(judged(of(own), rolled), 'good')
    assert.notEqual(persistentRecord(rolled).value, of(own))
  })
})

describe('looking at every authoritative name server', () => {
  /** domain.example and alone.example at two servers, one of which has an older zone; delegated.example at one. */
  let first: RunningBind
  let second: RunningBind
  let relays: DnsRelay[]
  let settings: PersistSettings
  const notices: string[] = []

  before(async () => {
    const places = [await chooseEndpoint({}), await chooseEndpoint({})]
    const port = places[0]?.port ?? 0
    const servers = places.map(({ address }, at) => ({ name: `ns${at + 1}.domain.example`, address }))
    const good = `"authority.example; ${named}"`
    const below = `"authority.example; ${named}; policy=wildcard"`
    const both = [
      `_validation-persist.www TXT "another.example; ${named}"`,
      `_validation-persist.www TXT "authority.example; " "accounturi=https://ca.exa" "mple/acct/123"`,
      `_validation-persist.soon TXT "authority.example; ${named}; persistUntil=${Math.floor(Date.now() / 1000) + 86_400}"`,
      `_validation-persist.year TXT "authority.example; ${named}; persistUntil=${inAYear}"`,
      '_validation-persist.shop CNAME shop.delegated.example.',
      '_validation-persist.bare CNAME bare.delegated.example.',
      `_validation-persist.dept TXT ${below}`,
      `_validation-persist.plain TXT ${good}`,
    ]
    const root = { name: '.', servers }
    first = await startBind({
      zones: [
        { name: 'domain.example', servers, records: [...both, `_validation-persist.half TXT ${good}`] },
        { name: 'delegated.example', servers: servers.slice(0, 1), records: [`shop TXT ${good}`] },
        root,
      ],
    })
    second = await startBind({ zones: [{ name: 'domain.example', servers, records: both }, root] })
    relays = await Promise.all(
      [first, second].map((bind, at) =>
        startDnsRelay(bind, (response) => response, { address: servers[at]?.address ?? '', port }),
      ),
    )
    const notice = (text: string) => void notices.push(text)
    const resolver = makeResolver({ servers: [first.server] })
    settings = { resolver, clock: systemClock, authoritativePort: port, timeoutMs: 1_000, notice }
  })

  after(async () => {
    for (const relay of relays) await relay[Symbol.asyncDispose]()
    for (const bind of [first, second]) await bind.stop()
  })

  const solver = () => dnsPersist01(settings)
  const challengeOf = (name: string, wildcard = false): PersistentChallenge => ({
    ...plain,
    type: 'dns-persist-01',
    name,
    wildcard,
  })
  const look = (name: string, wildcard = false) =>
    solver().present(challengeOf(name, wildcard), AbortSignal.timeout(20_000))

  test('a record of several strings beside one for another CA, one that ends in a year, and one behind a CNAME', async () => {
    for (const name of ['www', 'year', 'shop']) await look(`${name}.domain.example`)
    assert.deepEqual(notices, [])
    await solver().remove(challengeOf('www.domain.example'))
    await look('www.domain.example')
  })

  test('a record above, with policy=wildcard, is good for all names below it; without it for none', async () => {
    for (const [name, wildcard] of [
      ['deep.below.dept.domain.example', false],
      ['dept.domain.example', true],
      ['below.dept.domain.example', true],
    ] as const)
      await look(name, wildcard)
    for (const [name, wildcard] of [
      ['below.plain.domain.example', false],
      ['plain.domain.example', true],
    ] as const)
      assert.equal((await refusalOf(() => look(name, wildcard))).code, 'DNS_RECORD_MISSING', name)
  })

  test('where no server has it, the record to be set is named, where its CNAME leads', async () => {
    const { code, failure } = await refusalOf(() => look('plain.domain.example', true))
    assert.equal(code, 'DNS_RECORD_MISSING')
    assert.equal(
      failure.what,
      '2 of 2 name servers of domain.example show no record that lets the CA issue for plain.domain.example and *.plain.domain.example',
    )
    const [one, two] = relays.map(({ address }) => address)
    const seen = `"authority.example; ${named}": it has no policy=wildcard`
    assert.equal(failure.fact, `ns1.domain.example (${one}): ${seen}; ns2.domain.example (${two}): ${seen}`)
    assert.equal(
      failure.next,
      `set this record, then run again with --force: _validation-persist.plain.domain.example. TXT "authority.example; ${named}; policy=wildcard"`,
    )
    const behind = await refusalOf(() => look('bare.domain.example'))
    assert.match(behind.failure.next ?? '', /: bare\.delegated\.example\. TXT "authority\.example; accounturi=/)
    assert.match(behind.failure.fact ?? '', /^ns1\.domain\.example \(127\.[\d.]+\): no TXT record \(NXDOMAIN\)$/)
  })

  test('where one server lacks it, that one is named, and the next run may find it', async () => {
    const { code, failure, retryable } = await refusalOf(() => look('half.domain.example'))
    assert.equal(code, 'DNS_NOT_PROPAGATED')
    assert.ok(retryable)
    assert.equal(failure.fact, `ns2.domain.example (${relays[1]?.address}): no TXT record (NXDOMAIN)`)
    assert.match(failure.next ?? '', /_validation-persist\.half\.domain\.example\. TXT "/)
  })

  test('a record that ends before long is told about', async () => {
    await look('soon.domain.example')
    assert.match(notices.join(), /^the record that lets the CA issue for soon\.domain\.example ends at 20/)
  })
})
