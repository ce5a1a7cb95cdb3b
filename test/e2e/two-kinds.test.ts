import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import type { KeyKind } from '../../src/fleet/fleet.ts'
import { handshake } from '../../src/observe/handshake.ts'
import { deliver } from '../authority.ts'
import { audited, siteName, startFleet } from '../real/fleet.ts'

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

  assert.deepEqual(await audited(fleet), [])
  // The RSA pair of before, read by a reload while the link led to it; the EC pair is the newest all the time.
  const point = async (generation: string) => {
    await rm(base)
    await symlink(generation, base)
  }
  const generations = (await readdir(join(base, '..'))).filter((each) => each.startsWith('gen-')).sort()
  assert.equal(generations.length, 2)
  await point(generations[0] ?? '')
  const [program = '', ...words] = server.service.reload
  await promisify(execFile)(program, words)
  for (let tries = 0; tries < 100 && (await seen('rsa')) !== rsa.fingerprint; tries++) await sleep(50)
  await point(generations[1] ?? '')
  let found: { reason: string; certificate: string }[] = []
  // Old workers serve for a moment.
  for (let tries = 0; tries < 10 && found[0]?.reason !== 'not-reloaded'; tries++) {
    found = (JSON.parse((await fleet.run('audit', '--json')).stdout) as { findings: typeof found }).findings
  }
  assert.deepEqual(
    found.map(({ reason, certificate }) => `${certificate} ${reason}`),
    ['rsa not-reloaded'],
  )
  assert.deepEqual([await seen('ecdsa'), await seen('rsa')], [ec.fingerprint, rsa.fingerprint])
})
