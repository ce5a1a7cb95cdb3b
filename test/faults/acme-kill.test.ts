import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { askCa } from '../real/acme-fleet.ts'
import { type AcmeProxy, type Deed, startAcmeProxy } from '../real/acme-proxy.ts'
import { startFleet } from '../real/fleet.ts'
import { startPebble } from '../real/pebble.ts'

const httpPort = 5003
/** Requests of an issuance; and of one whose name is proven: Pebble reuses that of 1 in 100 orders, told to reuse none. */
const wholeMin = 10
const provenMin = 7

/** Requests that got to the CA and made something there. */
const made = (proxy: AcmeProxy, what: string) => proxy.seen.filter(({ path }) => path.startsWith(what)).length

test('kill -9 at every request to the CA, before it and after it: the order is gone on with, and none is made twice', {
  timeout: 600_000,
}, async () => {
  await using pebble = await startPebble({ httpPort, nonceRejectPercent: 0 })
  await using proxy = await startAcmeProxy(pebble)
  await using fleet = await startFleet({ 'eu-1': { kind: 'nginx', httpPort } })
  await askCa(fleet, { pebble, directoryUrl: proxy.directoryUrl, httpPort })
  const webroot = fleet.server('eu-1').webroot
  const issue = async () => {
    const { exit, stderr } = await fleet.run('issue', 'www', '--force')
    assert.equal(exit, 0, stderr)
  }
  await issue()
  // The account is there from here on: what follows is the course of every renewal.
  let requests = 0
  let generation = 1
  while (requests < wholeMin && generation < 4) {
    const before = proxy.seen.length
    await issue()
    requests = proxy.seen.length - before
    generation += 1
  }
  assert.ok(requests >= wholeMin, `a whole issuance takes ${requests} requests`)

  for (const kind of ['cut-before', 'cut-after'] as const) {
    for (let nth = 1; nth <= requests; nth++) {
      const orders = made(proxy, '/order-plz')
      const { child, ended } = fleet.run.start('issue', 'www', '--force')
      const killed = killAt(proxy, nth, { kind }, () => child.kill('SIGKILL'))
      const { exit } = await ended
      if (killed.seen() < nth) {
        // Fewer looks at a CA that was quicker, or that knew the name: there was no such request, and nothing to be killed at.
        assert.equal(exit, 0, `ended after ${killed.seen()} requests`)
        assert.ok(killed.seen() >= provenMin, `only ${killed.seen()} requests`)
        generation += 1
        continue
      }
      assert.equal(exit, null, `killed at request ${nth}`)
      await issue()
      const doubled = made(proxy, '/order-plz') - orders - (killed.orderLost() && kind === 'cut-before' ? 1 : 0)
      assert.equal(doubled, 1, `one order, killed ${kind} at request ${nth}`)
      generation += 1
      const { certificates } = await fleet.run.json<{ certificates: { generation: number }[] }>('status')
      assert.equal(certificates[0]?.generation, generation, `one generation, killed ${kind} at request ${nth}`)
      assert.deepEqual(await readdir(webroot), [], 'no answer lies around')
    }
  }
  assert.equal((await readdir(join(fleet.directory, 'state', 'vault', 'www'))).length, 1, 'and one key served them all')
})

function killAt(proxy: AcmeProxy, nth: number, deed: Deed, kill: () => void) {
  let orderLost = false
  let count = 0
  proxy.inject({
    on: ({ path }) => {
      count += 1
      if (count !== nth) return false
      orderLost = path.startsWith('/order-plz')
      kill()
      return true
    },
    deed,
  })
  return {
    /** Requests so far. */
    seen: () => count,
    /** The request that was killed was the one for a new order. */
    orderLost: () => orderLost,
  }
}
