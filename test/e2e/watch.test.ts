import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Order, Sold } from '../authority.ts'
import { type CertbotKind, writeCertbot } from '../clients.ts'
import { type RealFleet, siteName, startFleet } from '../real/fleet.ts'

interface AppliedJson {
  readonly certificates: readonly {
    readonly generation: number
    readonly keyCopiesSent: number
    readonly issued: string | null
    readonly waiting: string | null
  }[]
}

/** A fleet whose certificates certbot keeps, one lineage of it. */
async function watched(fleet: RealFleet) {
  const live = join(fleet.directory, 'letsencrypt', 'live', siteName)
  let number = 0
  await fleet.configure((document) => {
    document.issuers = { certbot: { watch: live } }
    document.certificates.www.issuer = 'certbot'
  })
  return {
    live,
    sell: (order: Partial<Order> = {}) => fleet.authority.sell({ names: [siteName], ...order }),
    /** With `kinds`, certbot was stopped when it had moved these links. */
    put(sold: Sold, kinds?: readonly CertbotKind[]) {
      if (kinds === undefined || kinds.includes('cert')) number += 1
      return writeCertbot(live, { sold, intermediatePem: fleet.authority.intermediatePem, number }, kinds)
    },
  }
}

test('what certbot renews gets to the servers; half of it is waited for, and reuse_key moves no key', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
  const certbot = await watched(fleet)
  const allServe = async ({ fingerprint }: Sold) => {
    for (const server of fleet.servers) {
      assert.equal(await server.served(), fingerprint, server.name)
      assert.equal(await server.onDisk(), fingerprint, server.name)
    }
  }

  const empty = await fleet.run('apply')
  assert.equal(empty.exit, 65)
  assert.match(empty.stderr, /INPUT_NOT_FOUND: .*letsencrypt\/live\/www\.lab\.example is not there/)

  const first = await certbot.sell({ fromDay: -3 })
  await certbot.put(first)
  const { exit, stdout, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /2 of 2 servers proven with generation 1 .* 2 key copies travelled/)
  await allServe(first)

  const second = await certbot.sell({ fromDay: -2, keys: first.keys })
  await certbot.put(second)
  const [renewed] = (await fleet.run.json<AppliedJson>('apply')).certificates
  assert.deepEqual([renewed?.generation, renewed?.keyCopiesSent, renewed?.waiting], [2, 0, null])
  await allServe(second)

  // A new key this time; certbot is stopped between two of its links.
  const third = await certbot.sell({ fromDay: -1 })
  await certbot.put(third, ['cert'])
  const waiting = await fleet.run('apply')
  assert.equal(waiting.exit, 0, waiting.stderr)
  assert.match(waiting.stderr, /www: note: waits for a newer certificate: the private key of .* is not in .*live\/www/)
  assert.match(waiting.stdout, /2 of 2 servers proven with generation 2 \(0 brought to it now, 2 had it\)/)
  assert.match((await fleet.run('plan')).stderr, /www: note: waits for a newer certificate/)
  const [still] = (await fleet.run.json<AppliedJson>('apply')).certificates
  assert.deepEqual([still?.generation, still?.issued], [2, null])
  assert.match(still?.waiting ?? '', /^the private key of /)
  await allServe(second)

  await certbot.put(third, ['privkey', 'chain', 'fullchain'])
  const completed = await fleet.run('apply')
  assert.equal(completed.exit, 0, completed.stderr)
  assert.doesNotMatch(completed.stderr, /waits/)
  assert.match(completed.stdout, /generation 3 issued, because the issuer had a newer one/)
  await allServe(third)
  assert.equal((await fleet.run('status')).exit, 0)

  // Somebody puts a backup back.
  await certbot.put(first)
  const old = await fleet.run('apply')
  assert.equal(old.exit, 0, old.stderr)
  assert.match(old.stdout, /with generation 3 \(0 brought to it now, 2 had it\)/)
  await allServe(third)
})

test('where the newest generation will not do any more, its error says what is waited for', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const certbot = await watched(fleet)
  const first = await certbot.sell({ fromDay: -3 })
  await certbot.put(first)
  assert.equal((await fleet.run('apply')).exit, 0)
  const names = [siteName, 'shop.lab.example']
  await fleet.configure((document) => {
    document.issuers = { certbot: { watch: certbot.live } }
    document.certificates.www = { names, issuer: 'certbot' }
  })
  await certbot.put(await certbot.sell({ names }), ['cert'])
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 65)
  assert.match(stderr, /^error CERT_NAME_MISSING: generation 1 of www.*does not cover shop\.lab\.example/m)
  assert.match(stderr, /^ {2}the private key of the certificate .* is not in .*live\/www/m)
  assert.equal(await fleet.server('eu-1').served(), first.fingerprint)
})
