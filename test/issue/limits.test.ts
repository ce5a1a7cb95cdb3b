import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OnecertError } from '../../src/base/errors.ts'
import { budget, type CountedOrder, type Event, keepWithin } from '../../src/issue/limits/budget.ts'
import { letsEncrypt } from '../../src/issue/limits/letsencrypt.ts'
import { limitsOf } from '../../src/issue/limits/limits-of.ts'
import { registeredDomain } from '../../src/issue/limits/registered-domain.ts'

const { limits } = letsEncrypt
const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const now = Date.UTC(2027, 0, 1)

const order = (names: readonly string[], more: Partial<CountedOrder> = {}): CountedOrder => ({
  kind: 'order',
  account: 'https://ca.example/acct/1',
  names,
  ari: false,
  renewal: false,
  ...more,
})
const certificate = (names: readonly string[], atMs: number, more: Partial<CountedOrder> = {}): Event => ({
  ...order(names, more),
  kind: 'certificate',
  atMs,
})
const times = <T>(count: number, make: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at))
const fiftyBelowExample = times(50, (at) => certificate([`w${at}.domain.example`], now))

test('fifty new certificates below one registered domain are what a week has, and one comes back in 202 minutes', () => {
  assert.equal(budget(limits, fiftyBelowExample.slice(1), order(['new.domain.example']), now), null)
  const reached = budget(limits, fiftyBelowExample, order(['new.domain.example']), now)
  assert.deepEqual(reached, {
    limit: 'new certificates per registered domain',
    of: 'domain.example',
    count: 50,
    countMax: 50,
    freeAtMs: now + 201.6 * minuteMs,
  })
  assert.equal(budget(limits, fiftyBelowExample, order(['new.domain.example']), now + 201.6 * minuteMs), null)
})

test('one name below a domain that is used up holds up the whole order', () => {
  assert.equal(
    budget(limits, fiftyBelowExample, order(['a.other.example', 'b.domain.example']), now)?.of,
    'domain.example',
  )
  assert.equal(budget(limits, fiftyBelowExample, order(['a.other.example']), now), null)
})

test('renewals are let through, with and without ARI, and do not count', () => {
  assert.equal(budget(limits, fiftyBelowExample, order(['w1.domain.example'], { renewal: true }), now), null)
  assert.equal(budget(limits, fiftyBelowExample, order(['w1.domain.example', 'b.example'], { ari: true }), now), null)
  const renewed = times(80, (at) => certificate([`w${at}.domain.example`], now, { renewal: true }))
  assert.equal(budget(limits, renewed, order(['new.domain.example']), now), null)
})

test('five certificates for the same names are what a week has, whatever their order and capitals', () => {
  const five = times(5, () => certificate(['B.example', 'a.example'], now, { renewal: true }))
  const reached = budget(limits, five, order(['a.example', 'b.example'], { renewal: true }), now + hourMs)
  assert.equal(reached?.limit, 'new certificates per exact set of identifiers')
  assert.equal(reached?.of, 'a.example b.example')
  assert.equal(reached?.freeAtMs, now + 33.6 * hourMs)
  assert.equal(budget(limits, five, order(['a.example']), now), null)
  assert.equal(budget(limits, five, order(['a.example', 'b.example'], { renewal: true, ari: true }), now), null)
})

test('three hundred orders are what an account has in three hours; another account has its own', () => {
  const orders = times(300, (at): Event => ({ ...order([`www.${at}.example`]), atMs: now }))
  assert.equal(budget(limits, orders, order(['one.example']), now)?.freeAtMs, now + 36_000)
  assert.equal(budget(limits, orders, order(['one.example'], { account: 'https://ca.example/acct/2' }), now), null)
})

const authorization = (name: string, atMs: number, failed: boolean): Event => ({
  kind: 'authorization',
  account: 'https://ca.example/acct/1',
  name,
  failed,
  atMs,
})

test('five failed authorizations are what a name has in an hour, also of its wildcard', () => {
  const failures = times(5, () => authorization('www.example', now, true))
  assert.equal(budget(limits, failures, order(['*.www.example']), now)?.freeAtMs, now + 12 * minuteMs)
  assert.equal(budget(limits, failures, order(['shop.example']), now), null)
})

test('1,152 failed authorizations in a row pause a name for ARI too, and a success forgets them', () => {
  const failures = times(1152, (at) => authorization('www.example', now + at * hourMs, true))
  const later = now + 1152 * hourMs
  const more = times(50, (at) => authorization('www.example', later + at * hourMs, true))
  const wanted = order(['www.example'], { ari: true })
  assert.equal(budget(limits, failures, wanted, later), null)
  const reached = budget(limits, [...failures, ...more], wanted, later + 49 * hourMs)
  assert.match(reached?.limit ?? 'none', /^consecutive/)
  const success = authorization('www.example', later + 49.5 * hourMs, false)
  assert.equal(budget(limits, [...failures, ...more, success], wanted, later + 50 * hourMs), null)
})

test('ten accounts are what this machine may make in three hours, and orders do not wait for it', () => {
  const made = times(10, (): Event => ({ kind: 'registration', atMs: now }))
  assert.equal(budget(limits, made, { kind: 'registration' }, now)?.freeAtMs, now + 18 * minuteMs)
  assert.equal(budget(limits, made.slice(1), { kind: 'registration' }, now), null)
  assert.equal(budget(limits, made, order(['www.example']), now), null)
})

test('of several limits that are reached, the one that is free last is told', () => {
  const history = [...fiftyBelowExample, ...times(5, () => certificate(['x.domain.example'], now))]
  assert.match(budget(limits, history, order(['x.domain.example']), now)?.limit ?? 'none', /exact set/)
})

test('what a clock that was ahead wrote down counts as of now', () => {
  const ahead = fiftyBelowExample.map((event) => ({ ...event, atMs: now + 900 * dayMs }))
  assert.equal(budget(limits, ahead, order(['new.domain.example']), now)?.freeAtMs, now + 201.6 * minuteMs)
})

test('ACME_BUDGET names the limit, the domain and the date, and nothing is thrown below the limit', () => {
  const attempt = (history: readonly Event[]) => () => keepWithin(limits, history, order(['new.domain.example']), now)
  assert.doesNotThrow(attempt(fiftyBelowExample.slice(1)))
  assert.throws(attempt(fiftyBelowExample), (error) => {
    assert.ok(error instanceof OnecertError)
    assert.deepEqual([error.code, error.exit, error.retryable], ['ACME_BUDGET', 75, true])
    assert.match(error.failure.what, /new certificates per registered domain/)
    assert.equal(error.failure.fact, '50 of 50 are counted for domain.example')
    assert.equal(error.failure.next, 'wait until 2027-01-01T03:21:36.000Z')
    return true
  })
})

test('whatever happened before, waiting until the date that is named is enough, and a moment less is not', () => {
  const name = fc.constantFrom('a.example', 'b.example', 'www.b.example')
  const event = fc.record({
    name,
    hoursAgo: fc.nat({ max: 300 }),
    kind: fc.constantFrom('order', 'certificate', 'failed'),
  })
  fc.assert(
    fc.property(fc.array(event, { maxLength: 80 }), name, (events, wantedName) => {
      const history = events.map(({ kind, name: of, hoursAgo }): Event => {
        const atMs = now - hoursAgo * hourMs
        if (kind === 'failed') return authorization(of, atMs, true)
        return { ...order([of]), kind: kind === 'order' ? 'order' : 'certificate', atMs }
      })
      const wanted = order([wantedName])
      const reached = budget(limits, history, wanted, now)
      if (reached === null) return
      assert.ok(reached.freeAtMs > now && reached.count >= reached.countMax)
      assert.equal(budget(limits, history, wanted, reached.freeAtMs), null)
      assert.notEqual(budget(limits, history, wanted, reached.freeAtMs - 1), null)
    }),
  )
})

test("the limits of Let's Encrypt are known by its directory; of other CAs, and of its staging, none", () => {
  assert.equal(limitsOf('https://acme-v02.api.letsencrypt.org/directory'), letsEncrypt)
  assert.equal(limitsOf('https://acme-staging-v02.api.letsencrypt.org/directory'), null)
  assert.equal(limitsOf('https://127.0.0.1:14000/dir'), null)
  assert.equal(limitsOf('no address'), null)
})

const domains: readonly (readonly [string, string])[] = [
  ['www.domain.example', 'domain.example'],
  ['domain.example', 'domain.example'],
  ['*.domain.example', 'domain.example'],
  ['new.blog.domain.co.uk', 'domain.co.uk'],
  ['www.somebody.github.io', 'somebody.github.io'],
  ['github.io', 'github.io'],
  ['WWW.Domain.Example', 'domain.example'],
  ['www.xn--bcher-kva.example', 'xn--bcher-kva.example'],
  ['192.0.2.7', '192.0.2.7'],
  ['2001:db8::7', '2001:db8:0:0::/64'],
  ['2001:0db8:0001:0002:3:4:5:6', '2001:db8:1:2::/64'],
  ['::1', '0:0:0:0::/64'],
]

for (const [name, domain] of domains) {
  test(`${name} is counted under ${domain}`, () => assert.equal(registeredDomain(name), domain))
}
