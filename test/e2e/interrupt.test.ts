import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { processesBelow } from '../../src/lab/processes.ts'
import { type RealFleet, startFleet } from '../real/fleet.ts'

/** Puts a command in place that tells when it runs, and takes its time. */
async function slowDown(fleet: RealFleet, name: string, command: 'test' | 'reload', seconds: number): Promise<string> {
  const { service, kind, base } = fleet.server(name)
  const script = join(service.directory, `slow-${command}`)
  const running = join(service.directory, `${command}-runs`)
  // Only behind the swap does a test count as one of the new files.
  await writeFile(
    script,
    `#!/bin/sh\n[ ! -e ${base}/current ] || touch ${running}\nsleep ${seconds}\nexec ${service[command].join(' ')}\n`,
    { mode: 0o755 },
  )
  await fleet.configure((document) => {
    document.servers[name].service[kind][command] = [script]
  })
  return running
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++) {
    assert.ok(tries < 1_500, 'it did not come to that in 15 s')
    await sleep(10)
  }
}

const leftOver = async (base: string) =>
  (await readdir(base)).filter((name) => /watchdog|fired|taken|\.stage/.test(name))

test('Ctrl-C behind a swap: the server is proved and committed, the next ones are not begun', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
  const reloading = await slowDown(fleet, 'eu-1', 'reload', 1)
  const sold = await fleet.buy()
  const { child, ended } = fleet.run.start('apply')
  await until(() => existsSync(reloading))
  child.kill('SIGINT')
  const { exit, stderr } = await ended
  assert.equal(exit, 75, stderr)
  assert.match(stderr, /stopping: /)
  assert.match(stderr, /not begun: us-1/)
  const [first, second] = fleet.servers
  assert.equal(await first?.served(), sold.fingerprint)
  assert.equal(await second?.served(), second?.original)
  assert.deepEqual(await leftOver(first?.base ?? ''), [])
  assert.equal((await fleet.run('apply')).exit, 0)
  assert.equal(await second?.served(), sold.fingerprint)
})

test('the terminal goes away in the middle of a rollout: it comes to its end unseen', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', 'us-1': 'nginx' })
  const reloading = await slowDown(fleet, 'eu-1', 'reload', 1)
  const sold = await fleet.buy()
  const { child, ended } = fleet.run.start('apply')
  await until(() => existsSync(reloading))
  // Whatever is written from here on ends with EPIPE.
  child.stderr?.destroy()
  const { exit } = await ended
  assert.equal(exit, 0)
  for (const server of fleet.servers) {
    assert.equal(await server.served(), sold.fingerprint)
    assert.deepEqual(await leftOver(server.base), [])
  }
})

test('Ctrl-C before a swap: nothing is changed, and the next apply goes on', async () => {
  const marker = join(await mkdtemp(join(tmpdir(), 'onecert-login-')), 'login')
  const slowly = `touch ${marker}; sleep 1; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\"`
  await using fleet = await startFleet({ 'eu-1': { kind: 'nginx', sshd: { keyOptions: `command="${slowly}"` } } })
  const server = fleet.server('eu-1')
  assert.equal((await fleet.run('apply')).exit, 0)
  const serving = await server.served()
  const sold = await fleet.buy()
  await rm(marker)
  const { child, ended } = fleet.run.start('apply')
  await until(() => existsSync(marker))
  child.kill('SIGTERM')
  const { exit, stderr } = await ended
  assert.equal(exit, 75, stderr)
  assert.match(stderr, /INTERRUPTED/)
  assert.match(stderr, /nothing that eu-1 serves was changed/)
  assert.equal(await server.served(), serving)
  assert.equal(await readlink(join(server.base, 'current')), 'gen-0001')
  assert.deepEqual(await leftOver(server.base), [])
  assert.equal((await fleet.run('apply')).exit, 0)
  assert.equal(await server.served(), sold.fingerprint)
  await rm(dirname(marker), { recursive: true })
})

test('a lease that another onecert took over before a swap is told as that: to whom it went, and what to do', async () => {
  const place = await mkdtemp(join(tmpdir(), 'onecert-login-'))
  const [marker, go] = [join(place, 'login'), join(place, 'go')]
  const wait = `touch ${marker}; for try in $(seq 500); do [ ! -e ${go} ] || break; sleep 0.1; done`
  const keyOptions = `command="${wait}; exec sh -c \\"$SSH_ORIGINAL_COMMAND\\""`
  await using fleet = await startFleet({ 'eu-1': { kind: 'nginx', sshd: { keyOptions } } })
  const server = fleet.server('eu-1')
  const { ended } = fleet.run.start('apply', '--connect-timeout', '60')
  await until(() => existsSync(marker))
  // As another machine would find it, after this one stood still for a minute.
  const database = new DatabaseSync(join(fleet.stateDirectory, 'state.db'))
  database
    .prepare("UPDATE lease SET token = token + 1, holder = 'db-2:4711:1', acquired_at_ms = ? WHERE lineage = 'www'")
    .run(Date.now())
  database.close()
  // A lease is renewed every 20 s.
  await sleep(22_000)
  await writeFile(go, '')
  const { exit, stderr } = await ended
  assert.equal(exit, 75, stderr)
  assert.doesNotMatch(stderr, /INTERRUPTED|interrupted/)
  assert.match(stderr, /LEASE_LOST: another onecert took over www before eu-1 was swapped/)
  assert.match(stderr, /process 4711 on db-2, \d+ s ago; its fencing token is \d+, ours is \d+/)
  assert.match(stderr, /nothing that eu-1 serves was changed; servers refuse what comes from here now/)
  assert.match(stderr, /next: {2}onecert status/)
  assert.equal(await server.served(), server.original)
  await rm(place, { recursive: true })
})

test('Ctrl-C while the service tests the new files: they are proved and committed all the same', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  const testing = await slowDown(fleet, 'eu-1', 'test', 1)
  const sold = await fleet.buy()
  const { child, ended } = fleet.run.start('apply')
  await until(() => existsSync(testing))
  child.kill('SIGTERM')
  const { exit, stderr } = await ended
  assert.match(stderr, /stopping: /)
  assert.equal(exit, 0, 'there was nothing left to interrupt')
  assert.equal(await server.served(), sold.fingerprint)
  assert.deepEqual(await leftOver(server.base), [])
})

test('Ctrl-C twice: the server itself undoes the swap at once', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  assert.equal((await fleet.run('apply')).exit, 0)
  const proven = await server.served()
  const reloading = await slowDown(fleet, 'eu-1', 'reload', 1)
  await fleet.buy()
  const { child, ended } = fleet.run.start('apply')
  await until(() => existsSync(reloading))
  child.kill('SIGINT')
  await sleep(50)
  child.kill('SIGINT')
  assert.equal((await ended).exit, 75)
  await until(async () => (await leftOver(server.base)).length === 0)
  assert.equal(await server.onDisk(), proven)
  await until(async () => (await server.served()) === proven)
  assert.equal((await fleet.run('apply')).exit, 0)
})

test('the network is cut behind a swap: the server undoes it within the confirm time, and we say so', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  assert.equal((await fleet.run('apply')).exit, 0)
  const proven = await server.served()
  const reloading = await slowDown(fleet, 'eu-1', 'reload', 2)
  await fleet.buy()
  const { ended } = fleet.run.start('apply')
  await until(() => existsSync(reloading))
  // All that is sshd goes, as if the network had; what it started stays.
  for (const { pid } of await processesBelow([server.sshd.pid], server.sshd.pid)) {
    const name = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')
    if (name === 'sshd\n') process.kill(pid, 'SIGKILL')
  }
  const { exit, stderr } = await ended
  assert.equal(exit, 75)
  assert.match(stderr, /eu-1 \(unreachable\)/)
  assert.match(stderr, /undoes itself there within 10 s/)
  await until(async () => (await leftOver(server.base)).length === 0)
  assert.equal(await server.onDisk(), proven)
  await until(async () => (await server.served()) === proven)
})
