import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { makeResolver, type Resolver } from '../../../src/dns/resolver.ts'
import { type CaaRecord, caaAllows, caaFacts, requireCaa } from '../../../src/issue/dns/caa.ts'
import { refusalOf } from '../../base/refusals.ts'
import { type RunningBind, startBind } from '../../real/bind.ts'
import { chooseEndpoint } from '../../real/running.ts'

const within = () => AbortSignal.timeout(20_000)
const ca = ['authority.example', 'www.authority.example']

let bind: RunningBind
let resolver: Resolver

before(async () => {
  const nobody = await chooseEndpoint({ address: '127.0.0.1' })
  bind = await startBind({
    zones: [
      {
        name: 'domain.example',
        records: [
          '@ CAA 0 issue "other.example"',
          'own CAA 0 issue "Authority.Example; validationmethods=dns-01"',
          'own CAA 0 iodef "mailto:security@domain.example"',
          'deep.below.own A 192.0.2.1',
          'wild CAA 0 issue "authority.example"',
          'wild CAA 0 issuewild ";"',
          'critical CAA 128 tbs "unknown"',
          'alias CNAME own',
        ],
      },
      { name: 'free.example' },
      { name: 'broken.example', primaryPort: nobody.port },
      { name: '.', servers: [{ name: 'ns1.free.example', address: '127.0.0.1' }] },
    ],
  })
  resolver = makeResolver({ servers: [bind.server] })
})
after(() => bind.stop())

test('the records of the nearest name count, read from a real zone', async () => {
  const cases = [
    ['www.domain.example', 'domain.example'],
    ['*.domain.example', 'domain.example'],
    ['deep.below.own.domain.example', 'own.domain.example'],
    ['alias.domain.example', 'alias.domain.example'],
    ['www.free.example', null],
  ] as const
  for (const [name, at] of cases) assert.equal((await caaFacts(name, resolver, within())).at, at, name)
  const { records } = await caaFacts('own.domain.example', resolver, within())
  assert.deepEqual(
    records.toSorted((left, right) => (left.tag < right.tag ? -1 : 1)),
    [
      { critical: false, tag: 'iodef', value: 'mailto:security@domain.example' },
      { critical: false, tag: 'issue', value: 'Authority.Example; validationmethods=dns-01' },
    ],
  )
})

test('a CA that is named may issue, another may not, and the record is told', async () => {
  for (const name of [
    'own.domain.example',
    'alias.domain.example',
    'www.free.example',
    '*.free.example',
    'wild.domain.example',
  ]) {
    await requireCaa(name, ca, resolver, within())
  }
  const cases = [
    ['www.domain.example', /^CAA at domain\.example: 0 issue "other\.example": not authority\.example or/],
    ['*.wild.domain.example', /^CAA at wild\.domain\.example: 0 issuewild ";"/],
    ['critical.domain.example', /^CAA at critical\.domain\.example: 128 tbs "unknown" is critical, and unknown$/],
  ] as const
  for (const [name, fact] of cases) {
    const error = await refusalOf(() => requireCaa(name, ca, resolver, within()))
    assert.equal(error.code, 'CAA_FORBIDS')
    assert.match(error.failure.fact ?? '', fact)
    assert.equal(error.failure.state, 'the CA was not asked')
  }
})

test('a zone that cannot be asked is no permission', async () => {
  const error = await refusalOf(() => requireCaa('www.broken.example', ca, resolver, within()))
  assert.equal(error.code, 'DNS_UNREACHABLE')
  assert.match(error.failure.fact ?? '', /SERVFAIL/)
})

test('the judgement over records alone', () => {
  const record = (tag: string, value: string, critical = false): CaaRecord => ({ critical, tag, value })
  const allowed: readonly (readonly [readonly CaaRecord[], boolean])[] = [
    [[], false],
    [[record('iodef', 'mailto:a@b.example')], false],
    [[record('iodef', 'mailto:a@b.example', true)], true],
    [[record('tbs', 'unknown')], false],
    [[record('issue', ';'), record('issue', ' authority.example ')], false],
    [[record('issue', 'authority.example; account=1')], true],
    [[record('issue', ';'), record('issuewild', 'AUTHORITY.example')], true],
    [[record('issuewild', ';')], false],
  ]
  for (const [records, wildcard] of allowed) assert.equal(caaAllows(records, ca, wildcard), null)
  const forbidden: readonly (readonly [readonly CaaRecord[], boolean])[] = [
    [[record('issue', '')], false],
    [[record('issue', ';')], true],
    [[record('issue', 'authority.example.evil.example')], false],
    [[record('issue', 'authority.example x')], false],
    [[record('issue', 'authority.example'), record('issuewild', 'other.example')], true],
    [[record('issue', 'authority.example'), record('tbs', 'unknown', true)], false],
  ]
  for (const [records, wildcard] of forbidden) assert.notEqual(caaAllows(records, ca, wildcard), null)
  assert.equal(caaAllows([record('issue', 'other.example')], [], false), null)
})
