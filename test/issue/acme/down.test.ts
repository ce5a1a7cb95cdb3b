import assert from 'node:assert/strict'
import { after, afterEach, before, describe, test } from 'node:test'
import { acme } from '../../../src/issue/acme/issuer.ts'
import { accounts } from '../../../src/issue/acme/registration.ts'
import { refusalOf } from '../../base/refusals.ts'
import { type AcmeProxy, type Deed, path, startAcmeProxy } from '../../real/acme-proxy.ts'
import { type Pebble, startPebble } from '../../real/pebble.ts'
import { orderOf } from '../keeper.ts'
import { type AtProxy, openAtProxy } from './at-proxy.ts'

let pebble: Pebble
let proxy: AcmeProxy

before(async () => {
  pebble = await startPebble({ nonceRejectPercent: 0, alwaysValid: true })
  proxy = await startAcmeProxy(pebble)
})
afterEach(() => proxy.clear())
after(async () => {
  await proxy.stop()
  await pebble.stop()
})

const withinMs = 600
/** The request and, behind one that may have arrived, the look at what the CA has; and what Pebble takes before. */
const boundMs = 2 * withinMs + 3_000

const faults: readonly { readonly deed: Deed; readonly fact: RegExp }[] = [
  { deed: { kind: 'refuse' }, fact: /ECONNREFUSED|ECONNRESET|socket hang up/ },
  { deed: { kind: 'silent' }, fact: /^no whole answer from 127\.\S+ in \d+ ms/ },
  { deed: { kind: 'reset' }, fact: /ECONNRESET/ },
  { deed: { kind: 'stall' }, fact: /^no whole answer from 127\.\S+ in \d+ ms/ },
]

/** In the order in which a run comes to them. */
const places = [
  ['the directory', '/dir'],
  ['a nonce', '/nonce-plz'],
  ['the account', '/sign-me-up'],
  ['the new order', '/order-plz'],
  ['an authorization', '/authZ/'],
  ['a challenge', '/chalZ/'],
  ['the request to issue', '/finalize-order/'],
  ['the order', '/my-order/'],
  ['the certificate', '/certZ/'],
] as const

const count = (begin: string) => proxy.seen.filter(path(begin)).length
const issueWithin = (at: AtProxy) => acme(at.spec, { ...at.tools, withinMs }).issue(orderOf())

for (const { deed, fact } of faults) {
  describe(`a CA that does this and goes on with it: ${deed.kind}`, () => {
    for (const [what, begin] of places) {
      // An answer to HEAD has no body that could stall.
      if (deed.kind === 'stall' && begin === '/nonce-plz') continue
      test(`at ${what}: it is unreachable, in bounded time; when it is back, one order and one account are all there is`, async () => {
        await using at = await openAtProxy(proxy)
        let down = false
        proxy.inject({
          on: (seen) => {
            down ||= path(begin)(seen)
            return down
          },
          times: Number.POSITIVE_INFINITY,
          deed,
        })
        const [orders, startMs] = [count('/order-plz'), performance.now()]
        const error = await refusalOf(() => issueWithin(at))
        const tookMs = performance.now() - startMs
        assert.equal(error.code, 'ACME_UNREACHABLE', `${error.message}: ${error.failure.fact}`)
        assert.match(error.failure.fact ?? '', fact)
        assert.match(error.failure.state ?? '', /the CA did nothing of it|the CA may have got this and done it/)
        assert.ok(error.failure.next && error.retryable)
        assert.ok(tookMs < boundMs, `${tookMs} ms`)
        assert.ok(count('/order-plz') <= orders + 1, 'no second order while it is down')

        await proxy.clear()
        const known = await accounts(at.tools.notes).read('lab')
        const bundle = await at.issuer().issue(orderOf())
        assert.ok(bundle)
        assert.equal(await at.ordersThere(), 1)
        const now = await accounts(at.tools.notes).read('lab')
        assert.ok(!known?.spki || now?.spki === known.spki)
        assert.equal((await at.tools.keys.list()).length, 2, 'a key of the account and one of the certificate')
      })
    }
  })
}
