import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import type { KeyKind } from '../../src/fleet/fleet.ts'
import { handshake } from '../../src/observe/handshake.ts'
import { deliver } from '../authority.ts'
import { siteName, startFleet } from '../real/fleet.ts'

test('one site with an EC and an RSA certificate: each is carried, seen by its own clients, and renewed by itself', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  const rsaFiles = join(fleet.directory, 'bought-rsa')
  const buyRsa = async () => {
    const sold = await fleet.authority.sell({ names: [siteName], rsaBits: 2048 })
    await deliver(rsaFiles, fleet.authority, sold)
    return sold
  }
  const rsa = await buyRsa()
  const base = join(server.base, '..', 'rsa', 'current')
  await fleet.configure((document) => {
    const file = (name: string) => join(rsaFiles, name)
    document.issuers['bought-rsa'] = {
      import: { certificate: file('leaf.pem'), chain: file('chain.pem'), key: file('key.pem') },
    }
    document.certificates.rsa = { names: [siteName], issuer: 'bought-rsa', key: { type: 'rsa-2048' } }
    document.sites[siteName].certificate = ['www', 'rsa']
    document.rollout['confirm-within'] = '10s'
  })
  const ec = await fleet.buy()
  // The second pair is named by the configuration before it is there: then nginx is not tested, and starts with both.
  const { configuration } = server.service
  const good = await readFile(configuration, 'utf8')
  await writeFile(
    configuration,
    good.replace(
      'listen 127',
      `ssl_certificate ${base}/fullchain.pem;\n    ssl_certificate_key ${base}/privkey.pem;\n    listen 127`,
    ),
  )
  const first = await fleet.run('apply', 'rsa')
  assert.equal(first.exit, 0, first.stderr)
  const second = await fleet.run('apply')
  assert.equal(second.exit, 0, second.stderr)
  const { address, port } = server.service
  const seen = async (keyKind: KeyKind) =>
    (await handshake({ address, port, name: siteName, keyKind }, { timeoutMs: 5_000 })).chain[0]
  assert.deepEqual([await seen('ecdsa'), await seen('rsa')], [ec.fingerprint, rsa.fingerprint])

  const renewed = await buyRsa()
  assert.equal((await fleet.run('apply')).exit, 0)
  assert.deepEqual([await seen('ecdsa'), await seen('rsa')], [ec.fingerprint, renewed.fingerprint])
  const status = await fleet.run('status')
  assert.match(status.stdout, /2 of 2 endpoints proven/)
})
