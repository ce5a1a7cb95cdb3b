import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { appendFile, copyFile, mkdir, readdir, readFile, readlink, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Kind, type RealFleet, type RealServer, startFleet } from '../real/fleet.ts'

const run = promisify(execFile)

interface AppliedJson {
  readonly certificates: readonly {
    readonly servers: readonly {
      readonly server: string
      readonly state: string
      readonly changed: boolean
      readonly sealed?: string
      readonly error?: { readonly code: string; readonly fact: string; readonly state: string }
    }[]
  }[]
}

async function applied(fleet: RealFleet) {
  const { certificates } = await fleet.run.json<AppliedJson>('apply')
  return Object.fromEntries((certificates[0]?.servers ?? []).map((each) => [each.server, each]))
}

async function until(condition: () => boolean | Promise<boolean>, withinMs = 20_000): Promise<void> {
  for (const endMs = Date.now() + withinMs; !(await condition()); await sleep(10))
    assert.ok(Date.now() < endMs, `it did not come to that in ${withinMs} ms`)
}

/**
 * The service's program with the real test in it. It notes what the files hold that the configuration names which it is
 * given; while `slow` is there it goes on only when `testing` is taken away; what `refused` names it does not take.
 */
async function watched(server: RealServer) {
  const { service, kind } = server
  const folder = join(service.directory, 'bin')
  await mkdir(folder)
  const program = join(folder, basename(service.test[0] ?? ''))
  const file = (name: string) => join(folder, name)
  for (const name of ['seen', 'refused']) await writeFile(file(name), '')
  const directive = { nginx: 'ssl_certificate', apache: 'SSLCertificateFile', haproxy: 'crt' }[kind]
  await writeFile(
    program,
    `#!/bin/sh
before= configuration=
for word; do case $before in -c | -f) case $word in /*) configuration=$word ;; esac ;; esac; before=$word; done
chain=$(sed -n 's/.* ${directive}  *\\([^ ;]*\\).*/\\1/p' "$configuration" | head -n 1)
hash=$(sha256sum <"$chain") || exit 2
echo "\${hash%% *}" >>${file('seen')}
if [ -e ${file('slow')} ]; then
  mv ${file('slow')} ${file('testing')}
  for try in $(seq 1000); do [ -e ${file('testing')} ] || break; sleep 0.02; done
fi
${service.test[0]} "$@" || exit
if grep -q "\${hash%% *}" ${file('refused')}; then echo it is refused; exit 3; fi
`,
    { mode: 0o755 },
  )
  return {
    test: [program, ...service.test.slice(1)],
    slow: file('slow'),
    testing: file('testing'),
    seen: async () => (await readFile(file('seen'), 'utf8')).trim().split('\n'),
    refuse: (hash: string) => writeFile(file('refused'), hash),
  }
}

const hashOf = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')

async function mounts(): Promise<string> {
  return readFile('/proc/self/mountinfo', 'utf8')
}

const withoutMounts = 'command="/usr/bin/setpriv --bounding-set=-sys_admin sh -c \\"$SSH_ORIGINAL_COMMAND\\""'

for (const kind of ['nginx', 'apache', 'haproxy'] as const satisfies readonly Kind[]) {
  for (const way of ['namespace', 'copy'] as const) {
    test(`${kind} tests a new pair in its real configuration (${way}) while all else, itself too, still has the old one`, async () => {
      await using fleet = await startFleet({
        'eu-1': { kind, ...(way === 'copy' && { sshd: { keyOptions: withoutMounts } }) },
      })
      const server = fleet.server('eu-1')
      const service = await watched(server)
      await fleet.configure((document) => {
        document.servers['eu-1'].service[kind].test = service.test
      })
      const first = await fleet.buy()
      const adopted = (await applied(fleet))['eu-1']
      assert.deepEqual([adopted?.state, adopted?.sealed], ['committed', way], 'what was adopted is tested so too')
      const [old = ''] = server.paths
      assert.deepEqual(await service.seen(), [await hashOf(old)])

      const second = await fleet.buy()
      await writeFile(service.slow, '')
      const mountsBefore = await mounts()
      const running = applied(fleet)
      await until(() => existsSync(service.testing))
      assert.equal(await readlink(join(server.base, 'current')), 'gen-0001')
      assert.equal(await server.onDisk(), first.fingerprint)
      assert.equal(await server.served(), first.fingerprint)
      assert.equal(await mounts(), mountsBefore)
      assert.ok(!(await readdir(server.base)).some((name) => name.startsWith('watchdog')), 'nothing is to be undone')
      // A reload by somebody else in this moment activates nothing.
      await run(server.service.reload[0] ?? '', server.service.reload.slice(1))
      assert.equal(await server.served(), first.fingerprint)
      await rm(service.testing)
      const changed = (await running)['eu-1']
      assert.deepEqual([changed?.state, changed?.sealed], ['committed', way])
      assert.equal(await server.served(), second.fingerprint)
      assert.equal((await service.seen()).length, 2, 'it was tested once')
      assert.equal((await service.seen())[1], await hashOf(old))
      assert.equal(await mounts(), mountsBefore)
      assert.ok(!existsSync(join(server.base, '.sealed')))

      // The next one is refused: current never points to it.
      const third = await fleet.buy()
      const combined = kind === 'haproxy' ? third.keyPem : ''
      await service.refuse(
        createHash('sha256')
          .update(third.leafPem + fleet.authority.intermediatePem + combined)
          .digest('hex'),
      )
      const refused = (await applied(fleet))['eu-1']
      assert.equal(refused?.error?.code, 'SERVICE_TEST_FAILED')
      assert.match(refused?.error?.fact ?? '', /it is refused/)
      assert.match(refused?.error?.state ?? '', /nothing that eu-1 serves was changed/)
      assert.deepEqual([refused?.state, refused?.changed], ['staged', false])
      const steps = (await readFile(join(server.base, 'journal'), 'utf8')).trim().split('\n')
      assert.match(steps.at(-1) ?? '', / stage gen-0003$/, 'it was not swapped')
      assert.equal(await server.served(), second.fingerprint)
      assert.equal(await server.onDisk(), second.fingerprint)
      assert.ok(!existsSync(join(server.base, '.sealed')))
    })
  }
}

test('a pair that only the real configuration refuses is never swapped in; a broken configuration is told from it', async () => {
  await using fleet = await startFleet({
    'eu-1': 'nginx',
    'us-1': { kind: 'nginx', sshd: { keyOptions: withoutMounts } },
  })
  await fleet.configure((document) => {
    document.rollout.canary = 2
  })
  const first = await fleet.buy()
  assert.equal((await fleet.run('apply')).exit, 0)
  const good = new Map<RealServer, string>()
  for (const server of fleet.servers) {
    const { configuration, directory } = server.service
    // Somebody pinned a copy of the key beside our chain: right today, wrong with any other key.
    await copyFile(server.paths[1] ?? '', join(directory, 'pinned.key'))
    const text = await readFile(configuration, 'utf8')
    good.set(server, text)
    const pinned = `server { listen unix:${directory}/pinned.sock ssl; ssl_certificate ${server.paths[0]}; ssl_certificate_key ${directory}/pinned.key; }\n}`
    await writeFile(configuration, text.replace(/}\s*$/, pinned))
  }
  const renewed = await fleet.buy({ keys: first.keys, toDay: 120 })
  assert.deepEqual(
    Object.values(await applied(fleet))
      .map(({ state, sealed }) => [state, sealed])
      .sort(),
    [
      ['committed', 'copy'],
      ['committed', 'namespace'],
    ],
    'with the same key it is taken',
  )
  await fleet.buy()
  for (const { error, state } of Object.values(await applied(fleet))) {
    assert.equal(error?.code, 'SERVICE_TEST_FAILED')
    assert.match(error?.fact ?? '', /key values mismatch/, "nginx's own words")
    assert.equal(state, 'staged')
  }
  for (const server of fleet.servers) {
    assert.equal(await server.served(), renewed.fingerprint)
    assert.equal(await readlink(join(server.base, 'current')), 'gen-0002')
    await appendFile(server.service.configuration, 'an edit that somebody has not finished\n')
  }
  for (const { error } of Object.values(await applied(fleet))) assert.equal(error?.code, 'SERVICE_ALREADY_BROKEN')
  for (const server of fleet.servers) {
    assert.equal(await server.onDisk(), renewed.fingerprint)
    assert.ok(!(await readdir(server.base)).some((name) => /^(watchdog|fired|taken|\.sealed)/.test(name)))
    await writeFile(server.service.configuration, good.get(server) ?? '')
  }
  const mended = Object.values(await applied(fleet))
  for (const { state, sealed } of mended) assert.deepEqual([state, sealed !== 'none'], ['committed', true])
})

test('an account without root and without sudo: nginx tests the new pair on a copy of its configuration', async () => {
  const nobody = 65_534
  const asNobody = `/usr/bin/setpriv --reuid=${nobody} --regid=${nobody} --clear-groups`
  await using fleet = await startFleet({
    'eu-1': { kind: 'nginx', sshd: { keyOptions: `command="${asNobody} sh -c \\"$SSH_ORIGINAL_COMMAND\\""` } },
  })
  const server = fleet.server('eu-1')
  const { directory, pid } = server.service
  await run('chown', ['-R', `${nobody}:${nobody}`, directory, join(server.base, '..', '..')])
  const wanted = join(directory, 'wanted')
  await fleet.configure((document) => {
    document.servers['eu-1'].service.nginx.reload = ['touch', wanted]
  })
  for (let generation = 1; generation <= 2; generation++) {
    const sold = await fleet.buy()
    const running = applied(fleet)
    await until(() => existsSync(wanted))
    await rm(wanted)
    process.kill(pid, 'SIGHUP')
    const outcome = (await running)['eu-1']
    assert.deepEqual([outcome?.state, outcome?.sealed], ['committed', 'copy'], JSON.stringify(outcome))
    assert.equal(await server.served(), sold.fingerprint)
    assert.deepEqual(
      (await readdir(server.base)).filter((name) => name.startsWith('.')),
      [],
    )
  }
})

test('a test that is not the program of the service is left behind the swap, where it sees what it always saw', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  const server = fleet.server('eu-1')
  const script = join(server.service.directory, 'elsewhere')
  const seen = join(server.service.directory, 'seen')
  await writeFile(script, `#!/bin/sh\nreadlink ${server.base}/current >>${seen}\n`, { mode: 0o755 })
  await fleet.configure((document) => {
    document.servers['eu-1'].service.nginx.test = [script, 'nginx', '-t']
  })
  await fleet.buy()
  assert.equal((await applied(fleet))['eu-1']?.sealed, 'none')
  assert.equal(await readFile(seen, 'utf8'), 'gen-0001\n')
})
