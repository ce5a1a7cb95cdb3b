import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { copyFile, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { promisify } from 'node:util'
import { processesBelow, sameProcess } from '../../src/lab/processes.ts'
import { type RealFleet, startFleet } from '../real/fleet.ts'

const run = promisify(execFile)

async function master(fleet: RealFleet) {
  const { pid } = fleet.server('us-1').service
  const found = (await processesBelow([pid], undefined)).find((each) => each.pid === pid)
  assert.ok(found)
  return found
}

test('what is to be feared: Apache says Syntax OK to a mismatched pair, and a graceful restart with it is its end', async () => {
  await using fleet = await startFleet({ 'us-1': 'apache' })
  const server = fleet.server('us-1')
  const before = await master(fleet)
  await copyFile(join(fleet.directory, 'bought', 'key.pem'), server.paths[1] ?? '')
  const [program, ...words] = server.service.test
  assert.match((await run(program ?? '', words)).stderr, /Syntax OK/)
  const [reload, ...how] = server.service.reload
  await run(reload ?? '', how)
  for (let tries = 0; tries < 500 && (await sameProcess(before)); tries++)
    await new Promise((done) => setTimeout(done, 10))
  assert.equal(await sameProcess(before), false)
})

test('Apache lives through renewals, also where somebody put a foreign key under it in between', async () => {
  await using fleet = await startFleet({ 'us-1': 'apache' })
  const server = fleet.server('us-1')
  const before = await master(fleet)
  const first = await fleet.buy()
  assert.equal((await fleet.run('apply')).exit, 0)

  // The mixed pair lies there, not yet loaded: the next reload with it would be the end.
  const key = join(server.base, 'current', 'privkey.pem')
  const foreign = await fleet.authority.sell({ names: ['elsewhere.lab.example'] })
  await writeFile(key, foreign.keyPem)
  const renewed = await fleet.buy({ keys: first.keys })
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.equal(await server.served(), renewed.fingerprint)
  assert.equal(await server.onDisk(), renewed.fingerprint)

  // A mixed pair that is to be adopted is replaced before any reload, too.
  const again = await fleet.buy()
  assert.equal((await fleet.run('server', 'release', 'us-1')).exit, 0)
  await writeFile(server.paths[1] ?? '', foreign.keyPem)
  assert.equal((await fleet.run('apply')).exit, 0)
  assert.equal(await server.served(), again.fingerprint)

  // A bought pair that does not belong together never gets there.
  await fleet.buy()
  await writeFile(join(fleet.directory, 'bought', 'key.pem'), foreign.keyPem)
  assert.equal((await fleet.run('apply')).exit, 65)
  assert.equal(await server.served(), again.fingerprint)
  assert.ok(await sameProcess(before), 'the same process as at the start')
})

test('a generation that was damaged on the server is never what Apache is reloaded with', async () => {
  await using fleet = await startFleet({ 'us-1': 'apache' })
  const server = fleet.server('us-1')
  const before = await master(fleet)
  const first = await fleet.buy()
  assert.equal((await fleet.run('apply')).exit, 0)
  for (const file of ['privkey.pem', 'fullchain.pem']) {
    const path = join(server.base, 'current', file)
    const good = await readFile(path)
    await writeFile(path, good.subarray(0, good.length / 2))
    const renewed = await fleet.buy({ keys: first.keys })
    const { exit, stderr } = await fleet.run('apply')
    assert.equal(exit, 0, stderr)
    assert.equal(await server.served(), renewed.fingerprint)
    assert.equal(await server.onDisk(), renewed.fingerprint)
  }
  // Its own test would not even pass with what is there: the new files are what mends it.
  await rm(join(server.base, 'current', 'privkey.pem'))
  const rekeyed = await fleet.buy()
  const { exit, stderr } = await fleet.run('apply')
  assert.equal(exit, 0, stderr)
  assert.equal(await server.served(), rekeyed.fingerprint)
  assert.equal(await server.onDisk(), rekeyed.fingerprint)
  assert.ok(await sameProcess(before))
})
