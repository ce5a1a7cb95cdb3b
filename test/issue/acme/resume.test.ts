import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { accountIdentity, accounts, openRegistered, rollOver } from '../../../src/issue/acme/registration.ts'
import type { Order } from '../../../src/issue/issuer.ts'
import type { Bundle } from '../../../src/pki/bundle.ts'
import { refusalOf } from '../../base/refusals.ts'
import { type AcmeProxy, type Deed, path, problem, startAcmeProxy, unavailable } from '../../real/acme-proxy.ts'
import { type Pebble, startPebble } from '../../real/pebble.ts'
import { orderOf } from '../keeper.ts'
import { type AtProxy, openAtProxy } from './at-proxy.ts'

let pebble: Pebble
let proxy: AcmeProxy

before(async () => {
  pebble = await startPebble({ nonceRejectPercent: 0, alwaysValid: true })
  proxy = await startAcmeProxy(pebble)
})
after(async () => {
  await proxy.stop()
  await pebble.stop()
})

/** With an account of its own; what went wrong for another one is over. */
async function atProxy(): Promise<AtProxy> {
  await proxy.clear()
  const at = await openAtProxy(proxy)
  await openRegistered(at.spec, at.tools)
  return at
}

async function issued(at: AtProxy, order: Order): Promise<Bundle> {
  const bundle = await at.issuer().issue(order)
  assert.ok(bundle)
  return bundle
}

/** What is ordered once the certificate was stored. */
function nextOf(order: Order, { leaf }: Bundle): Order {
  const stored = [leaf.fingerprint]
  return { ...order, stored, newest: leaf.fingerprint, newestDer: leaf.der, newestFromMs: leaf.notBeforeMs }
}

/** The answer to a request is lost, and the next `reads` of what the CA has fail too: the run ends there. */
function endRunAt(request: string, read: string, kind: 'cut-before' | 'cut-after'): void {
  let met = false
  proxy.inject({
    on: (seen) => {
      met ||= seen.path.startsWith(request)
      return seen.path.startsWith(request)
    },
    deed: { kind },
  })
  proxy.inject({ on: (seen) => met && seen.path.startsWith(read), deed: unavailable(3_600) })
}

const places = [
  { what: 'the new order', request: '/order-plz', read: '/my-account/' },
  { what: 'the word that a challenge is ready', request: '/chalZ/', read: '/authZ/' },
  { what: 'the request to issue', request: '/finalize-order/', read: '/my-order/' },
] as const

for (const { what, request, read } of places) {
  for (const kind of ['cut-before', 'cut-after'] as const) {
    test(`the connection is cut ${kind === 'cut-before' ? 'before' : 'after'} the CA had ${what}: the same run issues, with one order`, async () => {
      await using at = await atProxy()
      proxy.inject({ on: path(request), deed: { kind } })
      await issued(at, orderOf({ keepKey: null }))
      assert.equal(await at.ordersThere(), 1)
    })

    test(`a run ended ${kind === 'cut-before' ? 'before' : 'after'} the CA had ${what}: the next one issues, with one order and the same key`, async () => {
      await using at = await atProxy()
      endRunAt(request, read, kind)
      const refused = await refusalOf(() => at.issuer().issue(orderOf()))
      assert.equal(refused.code, 'ACME_UNREACHABLE', refused.message)
      const begun = await at.orderHere('www')
      assert.ok(begun)
      assert.equal(begun.url === null, request === '/order-plz')
      assert.equal((await issued(at, orderOf())).spki, begun.spki)
      assert.equal(await at.ordersThere(), 1)
    })
  }
}

describe('an order that is left', () => {
  const gone: readonly { readonly what: string; readonly deed: Deed }[] = [
    {
      what: 'has become invalid',
      deed: { kind: 'change', body: (json) => JSON.stringify({ ...JSON.parse(json), status: 'invalid' }) },
    },
    { what: 'has expired, and the CA does not know it any more', deed: problem('malformed', 404, 'no such order') },
  ]
  for (const { what, deed } of gone) {
    test(`it ${what}: a new one is made`, async () => {
      await using at = await atProxy()
      endRunAt('/chalZ/', '/authZ/', 'cut-before')
      await refusalOf(() => at.issuer().issue(orderOf()))
      const left = await at.orderHere('www')
      proxy.inject({ on: path('/my-order/'), deed })
      await issued(at, orderOf())
      assert.notEqual((await at.orderHere('www'))?.url, left?.url)
      assert.equal(await at.ordersThere(), 2)
    })
  }

  test('other names are wanted now: a new one is made for them', async () => {
    await using at = await atProxy()
    endRunAt('/finalize-order/', '/my-order/', 'cut-before')
    await refusalOf(() => at.issuer().issue(orderOf()))
    const names = ['www.vectors.test', 'app.vectors.test']
    const { leaf } = await issued(at, orderOf({ names }))
    assert.deepEqual(leaf.names.toSorted(), names.toSorted())
    assert.equal(await at.ordersThere(), 2)
  })

  test('its certificate was received and not stored: the next run receives the same', async () => {
    await using at = await atProxy()
    const first = await issued(at, orderOf())
    const again = await issued(at, orderOf())
    assert.equal(again.leaf.fingerprint, first.leaf.fingerprint)
    assert.equal(await at.ordersThere(), 1)
  })

  test('its certificate is the newest one: a new key is made for a new order, unless the key is to be kept', async () => {
    await using at = await atProxy()
    const first = await issued(at, orderOf())
    const second = await issued(at, nextOf(orderOf(), first))
    assert.notEqual(second.spki, first.spki)
    const third = await issued(at, nextOf(orderOf({ keepKey: second.spki }), second))
    assert.equal(third.spki, second.spki)
    assert.notEqual(third.leaf.fingerprint, second.leaf.fingerprint)
    assert.equal(await at.ordersThere(), 3)
  })

  test('a certificate from elsewhere came after its own: it does not come back', async () => {
    await using at = await atProxy()
    const own = await issued(at, orderOf())
    const elsewhere = await issued(at, orderOf({ lineage: 'elsewhere' }))
    const stored = [own.leaf.fingerprint, elsewhere.leaf.fingerprint]
    const next = await issued(at, { ...nextOf(orderOf(), elsewhere), stored })
    assert.notEqual(next.leaf.fingerprint, own.leaf.fingerprint)
  })
})

describe('the account', () => {
  test('the CA does not know it any more: the run says so, and the next one registers it anew', async () => {
    await using at = await atProxy()
    const shelf = accounts(at.tools.notes)
    await shelf.change('lab', (known) => known && { ...known, url: `${known.url}0000` })
    const refused = await refusalOf(() => at.issuer().issue(orderOf()))
    assert.equal(refused.code, 'ACME_ACCOUNT_UNKNOWN', refused.message)
    await issued(at, orderOf())
    assert.equal(await at.ordersThere(), 1)
  })

  test('another account for the same issuer begins with no order of the one before', async () => {
    await using at = await atProxy()
    endRunAt('/finalize-order/', '/my-order/', 'cut-before')
    await refusalOf(() => at.issuer().issue(orderOf()))
    proxy.inject({ on: path('/my-order/'), deed: problem('unauthorized', 403, 'not your order') })
    await issued(at, orderOf())
    assert.equal(await at.ordersThere(), 2)
  })

  for (const kind of ['cut-before', 'cut-after'] as const) {
    const who = kind === 'cut-before' ? 'the old' : 'the new'
    test(`a change of its key was cut, and the CA has ${who} one: the next run finds that out, and issues`, async () => {
      await using at = await atProxy()
      const shelf = accounts(at.tools.notes)
      const before = await shelf.read('lab')
      const thumbprints = async () =>
        (await accountIdentity(await openRegistered(at.spec, at.tools), 'lab', at.tools.notes)).thumbprints
      const [first] = await thumbprints()
      proxy.inject({ on: path('/rollover-account-key'), deed: { kind } })
      const refused = await refusalOf(() => rollOver(at.spec, at.tools))
      assert.equal(refused.code, 'ACME_UNREACHABLE', refused.message)
      const during = await shelf.read('lab')
      assert.ok(during?.next)
      assert.equal(during.spki, before?.spki)
      await issued(at, orderOf())
      const spki = kind === 'cut-before' ? before?.spki : during.next
      assert.deepEqual(await shelf.read('lab'), { ...before, spki, earlier: [first] })
      // A record that was made with the old key counts in any case.
      const [now, ...earlier] = await thumbprints()
      assert.equal(now === first, kind === 'cut-before')
      assert.deepEqual(earlier, kind === 'cut-before' ? [] : [first])
      assert.equal(await at.ordersThere(), 1)
    })

    test(`a change of its key was cut, the CA has ${who} one and cannot be reached: both keys stay known`, async () => {
      await using at = await atProxy()
      const shelf = accounts(at.tools.notes)
      proxy.inject({ on: path('/rollover-account-key'), deed: { kind } })
      await refusalOf(() => rollOver(at.spec, at.tools))
      const during = await shelf.read('lab')
      proxy.inject({ on: path('/my-account/'), deed: unavailable(3_600) })
      assert.equal((await refusalOf(() => at.issuer().issue(orderOf()))).code, 'ACME_UNREACHABLE')
      assert.deepEqual(await shelf.read('lab'), during)
      await issued(at, orderOf())
      assert.equal((await shelf.read('lab'))?.next, undefined)
    })
  }

  test('a change of its key without a fault: the account stays, the key is another', async () => {
    await using at = await atProxy()
    const before = await accounts(at.tools.notes).read('lab')
    await rollOver(at.spec, at.tools)
    const settled = await accounts(at.tools.notes).read('lab')
    assert.equal(settled?.url, before?.url)
    assert.notEqual(settled?.spki, before?.spki)
    await issued(at, orderOf())
  })
})
