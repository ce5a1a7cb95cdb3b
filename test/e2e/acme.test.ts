import assert from 'node:assert/strict'
import { readdir } from 'node:fs/promises'
import { test } from 'node:test'
import { askCa } from '../real/acme-fleet.ts'
import { startAcmeProxy } from '../real/acme-proxy.ts'
import { siteName, startFleet } from '../real/fleet.ts'
import { startPebble } from '../real/pebble.ts'

const httpPort = 5002
const names = ['eu-1', 'us-1', 'ap-1', 'sa-1', 'af-1'] as const
const kinds = Object.fromEntries(names.map((name) => [name, { kind: 'nginx', httpPort } as const]))

test('http-01 on five servers: all answer before the CA is told; one that does not is named, and nothing is left behind', async () => {
  await using pebble = await startPebble({ httpPort })
  await using proxy = await startAcmeProxy(pebble)
  await using fleet = await startFleet(kinds)
  const ask = (wrong: boolean) =>
    askCa(fleet, {
      pebble,
      directoryUrl: proxy.directoryUrl,
      httpPort,
      change: (document) => {
        document.certificates.www.names = [siteName, 'shop.lab.example']
        document.sites['shop.lab.example'] = { certificate: 'www', dns: [...names] }
        // A folder that its nginx does not serve.
        if (wrong) document.servers['ap-1'].webroot = `${fleet.server('ap-1').webroot}-elsewhere`
      },
    })
  const addresses = fleet.servers.map(({ service }) => service.address)
  await pebble.addA('shop.lab.example', addresses)
  const leftBehind = async () => (await Promise.all(fleet.servers.map(({ webroot }) => readdir(webroot)))).flat()

  await ask(false)
  const first = await fleet.run('apply')
  assert.equal(first.exit, 0, first.stderr)
  assert.match(first.stdout, /5 of 5 servers proven with generation 1/)
  assert.deepEqual(await leftBehind(), [])
  const { entries } = await fleet.run.json<{ entries: { effect: string; server?: string; phase: string }[] }>(
    'ledger',
    '--last',
    '1000',
  )
  const done = (effect: string) => entries.filter((entry) => entry.effect === effect && entry.phase === 'outcome')
  assert.equal(done('answer').length, 10, 'two names on five servers')
  assert.equal(done('unanswer').length, 10)

  const serving = await fleet.server('ap-1').served()
  await ask(true)
  const told = () => proxy.seen.filter(({ path }) => path.startsWith('/chalZ/')).length
  const before = told()
  const failed = await fleet.run('issue', 'www', '--force')
  assert.equal(failed.exit, 75, failed.stdout)
  assert.match(failed.stderr, /CHALLENGE_NOT_SERVED: ap-1 \(127\.[\d.]+:5002\) does not answer the http-01 challenge/)
  assert.match(failed.stderr, /it answered 404/)
  assert.doesNotMatch(failed.stderr, /(eu|us|sa|af)-1 \(/)
  assert.equal(told(), before, 'the CA was not told to look')
  assert.deepEqual(await leftBehind(), [])
  assert.deepEqual(await readdir(`${fleet.server('ap-1').webroot}-elsewhere`), [])
  for (const server of fleet.servers) assert.equal(await server.served(), serving)
  const status = await fleet.run.json<{ certificates: { generation: number }[] }>('status')
  assert.equal(status.certificates[0]?.generation, 1)

  await ask(false)
  const mended = await fleet.run('issue', 'www', '--force')
  assert.equal(mended.exit, 0, mended.stderr)
  assert.match(mended.stdout, /generation 2 issued/)
})

test('a server that is down in every way is noted, and does not hold up a renewal that the others answer for', async () => {
  await using pebble = await startPebble({ httpPort })
  await using fleet = await startFleet({ 'eu-1': { kind: 'nginx', httpPort }, 'us-1': { kind: 'nginx', httpPort } })
  await askCa(fleet, { pebble, httpPort })
  const down = fleet.server('us-1')
  await down.service.stop()
  await down.sshd.stop()
  await pebble.addA(siteName, [fleet.server('eu-1').service.address])
  const { exit, stdout, stderr } = await fleet.run('issue')
  assert.equal(exit, 0, stderr)
  assert.match(stdout, /generation 1 issued/)
  assert.match(
    stderr,
    /www: note: us-1 \(127\.[\d.]+:5002\) does not answer the http-01 challenge .*nothing listens there/,
  )
})
