import assert from 'node:assert/strict'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Site, type SiteServer, startSite } from '../site.ts'

const kills = Number(process.env.ONECERT_KILLS ?? 200)
const confirmSeconds = 5
/** Waiting for a watchdog costs no processor time: several sites are killed at once. */
const lanes = 4

test(`after each of ${kills} kills -9 of onecert the server has a whole pair, and the next apply finishes`, {
  timeout: kills * 5_000,
}, async () => {
  const steps = new Map<string, number>()
  let left = kills
  const lane = async () => {
    await using site = await startSite(1, { confirmSeconds })
    const [server] = site.servers
    assert.ok(server)
    const first = await site.run('apply')
    assert.equal(first.exit, 0, first.stderr)
    const durationMs = await renewalDuration(site)
    for (let round = 0; left > 0; round++) {
      left -= 1
      const step = await killOnce(site, server, durationMs)
      steps.set(step, (steps.get(step) ?? 0) + 1)
      if (round % 4 === 0) await finishes(site)
    }
    await finishes(site)
    assert.equal((await site.run('ledger', 'verify')).exit, 0)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  const counted = [...steps].map(([step, count]) => `${step} ${count}`).join(', ')
  for (const step of ['stage', 'swap', 'reload']) assert.ok(steps.has(step), `no kill after ${step}: ${counted}`)
  process.stdout.write(`kills by the last step in the server's journal: ${counted}\n`)
})

/** Kills a renewal; most kills hit while something happens at the server. Returns the last step that its journal has. */
async function killOnce(site: Site, server: SiteServer, durationMs: number): Promise<string> {
  const before = (await journal(server)).length
  const { child, ended } = site.run.start('renew', 'www', '--force')
  const steps = Math.floor(Math.random() * 5)
  if (steps === 0) await sleep(durationMs * Math.random())
  else {
    await eventually(
      async () => ((await journal(server)).length >= before + steps || child.exitCode !== null ? true : null),
      10_000,
    )
    await sleep(Math.random() * 20)
  }
  child.kill('SIGKILL')
  await server.onDisk()
  await ended
  const step = (await journal(server)).at(-1)?.split(' ')[2] ?? 'none'
  await settled(server)
  const onDisk: string = await server.onDisk()
  const served: string | null = await eventually<string>(async () =>
    (await server.served()) === onDisk ? onDisk : null,
  )
  assert.equal(served, onDisk, 'what is served is what is on disk')
  return step
}

async function finishes(site: Site): Promise<void> {
  const next = await site.run('apply')
  assert.equal(next.exit, 0, `${next.stdout}${next.stderr}`)
  const { endpoints } = await site.run.json<{ endpoints: { verdict: string }[] }>('status')
  assert.deepEqual(
    endpoints.map(({ verdict }) => verdict),
    ['proven'],
  )
}

for (const [moment, command] of [
  ['during the test of the configuration', 'test'],
  ['during the reload', 'reload'],
] as const) {
  test(`killed -9 ${moment}, the server is back on the old certificate within the confirm time`, async () => {
    await using site = await startSite(1, { confirmSeconds })
    const [server] = site.servers
    assert.ok(server)
    assert.equal((await site.run('apply')).exit, 0)
    const old = await server.served()
    // The command ends its own controller, then does its work, as a slow command would.
    const script = join(site.directory, 'killing')
    const killFile = join(site.directory, 'victim')
    const work = command === 'reload' ? 'kill -HUP "$(cat "$2")"' : 'exit 0'
    await writeFile(
      script,
      `if [ -e "$1" ] && [ "$(readlink "${server.base}/current")" != gen-0001 ]; then kill -9 "$(cat "$1")"; rm -f "$1"; sleep 1; fi\n${work}\n`,
    )
    await site.configure({ confirmSeconds, [command]: ['/bin/sh', script, killFile, 'PIDFILE'] })
    const { child, ended } = site.run.start('renew', 'www', '--force')
    await writeFile(killFile, String(child.pid))
    assert.equal((await ended).exit, null)
    await settled(server)
    assert.equal(await server.onDisk(), old)
    assert.equal(await eventually(async () => ((await server.served()) === old ? old : null)), old)
    const next = await site.run('apply')
    assert.equal(next.exit, 0, next.stderr)
    assert.notEqual(await server.served(), old)
  })
}

async function renewalDuration(site: Site): Promise<number> {
  const started = performance.now()
  assert.equal((await site.run('renew', 'www', '--force')).exit, 0)
  return performance.now() - started
}

async function journal(server: SiteServer): Promise<string[]> {
  return (await readFile(join(server.base, 'journal'), 'utf8')).trim().split('\n')
}

/** No swap is unconfirmed any more: within the confirm time, and what a rollback takes. */
async function settled(server: SiteServer): Promise<void> {
  const open = await eventually(
    async () => {
      const names = await readdir(server.base)
      return names.some((name) => /^(watchdog|fired|taken)\./.test(name)) ? null : 'settled'
    },
    (confirmSeconds + 5) * 1000,
  )
  assert.equal(open, 'settled', 'a swap was left unconfirmed')
}

async function eventually<T>(look: () => Promise<T | null>, withinMs = 5_000): Promise<T | null> {
  const until = Date.now() + withinMs
  for (;;) {
    const seen = await look()
    if (seen !== null || Date.now() > until) return seen
    await sleep(5)
  }
}
