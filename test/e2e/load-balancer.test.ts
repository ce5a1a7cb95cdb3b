import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BalancedMember, controlOf, startHaproxyBalancer } from '../real/balancer.ts'
import { type RealFleet, type ServerOptions, siteName, startFleet } from '../real/fleet.ts'
import { startLoad } from '../real/load.ts'

/** nginx ends a kept connection in order when it is so old: its clients go elsewhere while it is drained. */
const members = {
  'web-1': { kind: 'nginx', proxyProtocol: 'v2' },
  'web-2': { kind: 'apache', proxyProtocol: 'v2' },
  'web-3': { kind: 'haproxy', proxyProtocol: 'v2' },
} as const satisfies Record<string, ServerOptions>

function membersOf(fleet: RealFleet): BalancedMember[] {
  return fleet.servers.map(({ name, service }) => ({ name: `s-${name}`, address: service.address, port: service.port }))
}

test('behind HAProxy: renewals and rekeys under load, and not one handshake or request fails', async () => {
  await using fleet = await startFleet(members)
  const behind = membersOf(fleet)
  await using balancer = await startHaproxyBalancer(behind)
  await fleet.configure((document) => {
    const { address, port } = balancer
    const servers = Object.keys(members)
    document.sites[siteName] = {
      certificate: 'www',
      'load-balancer': { address, port, servers, control: controlOf(balancer, behind) },
    }
  })
  assert.equal((await fleet.run('apply')).exit, 0)
  await using load = await startLoad({ targets: [balancer], name: siteName })
  let { keys } = await fleet.buy()
  for (let round = 0; round < 4; round++) {
    const { exit, stdout, stderr } = await fleet.run('apply')
    console.log(stdout, stderr)
    assert.equal(exit, 0, stderr)
    const sold = await fleet.buy(round % 2 === 0 ? { keys } : {})
    keys = sold.keys
  }
  const counts = await load.stop()
  console.log(JSON.stringify(counts))
})
