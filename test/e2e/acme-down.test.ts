import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { askCa } from '../real/acme-fleet.ts'
import { type AcmeProxy, type Deed, path, type RenewalAnswer, startAcmeProxy } from '../real/acme-proxy.ts'
import { type RealFleet, siteName, startFleet } from '../real/fleet.ts'
import { type Pebble, startPebble } from '../real/pebble.ts'

const httpPort = 5002
/** The quickest and the slowest of those in test/issue/acme/down.test.ts; each run waits as long as users do. */
const deeds: readonly Deed[] = [{ kind: 'refuse' }, { kind: 'silent' }]
/** Beside a good certificate: 30 s for the order, 30 s for a look whether the CA has it, and the rollout. */
const boundMs = 75_000

let pebble: Pebble
let places: readonly { readonly deed: Deed; readonly proxy: AcmeProxy; readonly fleet: RealFleet }[]
let window: RenewalAnswer

before(async () => {
  window = windowAt(20)
  pebble = await startPebble({ nonceRejectPercent: 0, httpPort })
  const made = []
  for (const deed of deeds) {
    const proxy = await startAcmeProxy(pebble, { renewalInfo: () => window })
    const fleet = await startFleet({ 'eu-1': { kind: 'nginx', httpPort } })
    await askCa(fleet, { pebble, directoryUrl: proxy.directoryUrl, httpPort })
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
    made.push({ deed, proxy, fleet })
  }
  places = made
})
after(async () => {
  for (const { proxy, fleet } of places ?? []) {
    await fleet[Symbol.asyncDispose]()
    await proxy.stop()
  }
  await pebble?.stop()
})

function windowAt(startDay: number): RenewalAnswer {
  const at = (day: number) => new Date(Date.now() + day * 86_400_000).toISOString()
  return { suggestedWindow: { start: at(startDay), end: at(startDay + 1) } }
}

test('a CA that refuses connections, and one that is silent, at a renewal: the certificate that is there is looked after, in bounded time; later one order does it', async () => {
  const ended = await Promise.all(
    places.map(async ({ deed, proxy, fleet }) => {
      const orders = proxy.seen.filter(path('/order-plz')).length
      let down = false
      proxy.inject({
        on: (seen) => {
          down ||= path('/order-plz')(seen)
          return down
        },
        times: Number.POSITIVE_INFINITY,
        deed,
      })
      const served = await fleet.server('eu-1').served()
      const startMs = performance.now()
      const run = await fleet.run('renew', '--force')
      const tookMs = performance.now() - startMs
      return { ...run, kind: deed.kind, orders, served, tookMs, proxy, fleet }
    }),
  )
  for (const { kind, exit, stdout, stderr, orders, served, tookMs, proxy, fleet } of ended) {
    assert.equal(exit, 69, `${kind}: ${stderr}`)
    assert.match(stderr, /error ACME_UNREACHABLE: lab gave no answer that helps/, kind)
    assert.match(stderr, /ECONNREFUSED|ECONNRESET|socket hang up|no whole answer from/, kind)
    assert.match(stdout, /1 of 1 servers proven with generation 1/, kind)
    assert.equal(await fleet.server('eu-1').served(), served, kind)
    assert.ok(tookMs < boundMs, `${kind}: ${tookMs} ms`)
    const later = await fleet.run('apply')
    assert.equal(later.exit, 0, `${kind}: it is not due, and was asked for by hand alone: ${later.stderr}`)
    await proxy.clear()
    await pebble.addA(siteName, [fleet.server('eu-1').service.address])
    const again = await fleet.run('renew', '--force')
    assert.equal(again.exit, 0, `${kind}: ${again.stderr}`)
    assert.match(again.stdout, /generation 2 issued/, kind)
    assert.equal(proxy.seen.filter(path('/order-plz')).length - orders, 2, kind)
    assert.notEqual(await fleet.server('eu-1').served(), served, kind)
  }
})
