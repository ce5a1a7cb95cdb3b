import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { createPrivateKey } from 'node:crypto'
import { lstat, readdir, readFile, readlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type RealFleet, startFleet } from '../real/fleet.ts'
import { ageTickets } from '../real/session.ts'

/** The ways in which a private key could be found by somebody who looks for it. */
function canariesOf(keyPem: string): Buffer[] {
  // PKCS#8 of a P-256 key: the private number is bytes 36 to 67; around it is what all such keys, and the certificate, share.
  const [first = '', second = ''] = keyPem.split('\n').filter((line) => line !== '' && !line.startsWith('-----'))
  const { d = '' } = createPrivateKey(keyPem).export({ format: 'jwk' })
  const scalar = Buffer.from(d, 'base64url')
  return [
    Buffer.from(first.slice(48)),
    Buffer.from(second.slice(0, 24)),
    scalar,
    Buffer.from(scalar.toString('hex')),
    Buffer.from(scalar.toString('base64').slice(0, 40)),
    Buffer.from(d),
  ]
}

const holds = (content: Buffer, canaries: readonly Buffer[]) => canaries.some((canary) => content.includes(canary))

/** Each process's argv and environment, as any process of the same account can read them. */
async function searchProcesses(canaries: readonly Buffer[]): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    for (const file of ['cmdline', 'environ']) {
      const content = await readFile(`/proc/${pid}/${file}`).catch(() => Buffer.alloc(0))
      if (holds(content, canaries)) found.push(`/proc/${pid}/${file}`)
    }
  }
  return found
}

async function searchFiles(directory: string, canaries: readonly Buffer[]): Promise<string[]> {
  const found: string[] = []
  for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    const path = join(directory, entry.name)
    if (entry.isDirectory()) found.push(...(await searchFiles(path, canaries)))
    else if (entry.isFile() && holds(await readFile(path).catch(() => Buffer.alloc(0)), canaries)) found.push(path)
  }
  return found
}

/** Where the key has to be: what was bought, and the key files of the servers. */
async function allowed(fleet: RealFleet): Promise<string[]> {
  const paths = [join(fleet.directory, 'bought', 'key.pem')]
  for (const { base, kind } of fleet.servers) {
    for (const name of await readdir(base)) {
      if (name.startsWith('gen-')) paths.push(join(base, name, kind === 'haproxy' ? 'combined.pem' : 'privkey.pem'))
    }
  }
  return paths
}

test('the search sees a key in an argv, in an environment and in a file', async () => {
  const canaries = [Buffer.from('a-canary-that-is-in-no-other-process')]
  const text = canaries[0]?.toString() ?? ''
  const child = spawn('sh', ['-c', 'sleep 30', text], { env: { PATH: process.env.PATH, CANARY: text } })
  try {
    const found = await searchProcesses(canaries)
    for (const file of ['cmdline', 'environ']) assert.ok(found.includes(`/proc/${child.pid}/${file}`), found.join())
  } finally {
    child.kill()
  }
})

test('no key material in argv, environment, logs, journals, ledger, database or temporary files', async () => {
  await using fleet = await startFleet({
    'eu-1': 'nginx',
    'us-1': 'apache',
    edge: 'haproxy',
    memory: { kind: 'haproxy', runtime: true },
  })
  for (const server of fleet.servers) {
    // Long enough for many looks at what runs.
    const slow = join(server.service.directory, 'slow')
    await writeFile(slow, `#!/bin/sh\nsleep 1\nexec ${server.service.reload.join(' ')}\n`, { mode: 0o755 })
  }
  await fleet.configure((document) => {
    for (const { name, kind, service } of fleet.servers)
      document.servers[name].service[kind].reload = [join(service.directory, 'slow')]
  })
  const first = await fleet.buy()
  const canaries = canariesOf(first.keyPem)
  const startedMs = Date.now()
  let looks = 0
  const printed: string[] = []
  const inProcesses = new Set<string>()

  const watched = async (...words: string[]) => {
    const { child, ended } = fleet.run.start('--debug', ...words)
    while (child.exitCode === null) {
      for (const path of await searchProcesses(canaries)) inProcesses.add(path)
      looks += 1
      await sleep(10)
    }
    const { stdout, stderr } = await ended
    printed.push(stdout, stderr)
    assert.equal(child.exitCode, 0, stderr)
  }
  await watched('apply')
  const second = await fleet.buy()
  canaries.push(...canariesOf(second.keyPem))
  await watched('apply')
  for (const words of [['status'], ['ledger'], ['ledger', 'keys'], ['--json', 'ledger'], ['--json', 'status']]) {
    await watched(...words)
  }

  assert.deepEqual([...inProcesses], [])
  assert.ok(looks > 100, `only ${looks} looks`)
  assert.ok(!holds(Buffer.from(printed.join('')), canaries), 'printed')
  const places = [fleet.directory, ...fleet.servers.flatMap(({ service, sshd }) => [service.directory, sshd.directory])]
  const found = (await Promise.all(places.map((place) => searchFiles(place, canaries)))).flat()
  assert.deepEqual(found.sort(), (await allowed(fleet)).sort(), 'on disk: where it must be, and nowhere else')
  for (const path of found) assert.equal((await lstat(path)).mode & 0o077, 0, `${path} can be read by others`)
  const left: string[] = []
  for (const name of await readdir(tmpdir())) {
    const path = join(tmpdir(), name)
    const { mtimeMs } = await lstat(path).catch(() => ({ mtimeMs: 0 }))
    if (mtimeMs >= startedMs && !places.includes(path)) left.push(...(await searchFiles(path, canaries)))
  }
  assert.deepEqual(left, [], 'temporary files')
})

/** The ways in which session ticket keys could be found: each key, whole or in part, in what it is written as. */
function ticketCanariesOf(lines: string): Buffer[] {
  return lines
    .trim()
    .split('\n')
    .flatMap((line) => {
      const key = Buffer.from(line, 'base64')
      // Each of its three parts by itself: a name, and two secrets.
      const parts = [key.subarray(16, 48), key.subarray(48)]
      return [
        Buffer.from(line),
        Buffer.from(line.slice(24, 64)),
        Buffer.from(key.toString('hex').slice(32, 96)),
        ...parts,
      ]
    })
}

test('no session ticket key in argv, environment, logs, journals, ledger, database or temporary files', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx', edge: 'haproxy' })
  const edge = fleet.server('edge')
  const slow = (service: { directory: string }) => join(service.directory, 'slow')
  for (const { service } of fleet.servers)
    await writeFile(slow(service), `#!/bin/sh\nsleep 1\nexec ${service.reload.join(' ')}\n`, { mode: 0o755 })
  const configure = (tickets: boolean) =>
    fleet.configure((document) => {
      if (tickets) document.certificates.www.tickets = { rotate: '1h' }
      for (const { name, kind, service } of fleet.servers) document.servers[name].service[kind].reload = [slow(service)]
    })
  await configure(true)
  assert.equal((await fleet.run('apply')).exit, 0)
  const startedMs = Date.now()
  const linesOf = () => readFile(join(edge.base, 'tickets', 'tickets.keys'), 'utf8')
  const canaries = ticketCanariesOf(await linesOf())
  const printed: string[] = []
  const inProcesses = new Set<string>()
  const watched = async (...words: string[]) => {
    const { child, ended } = fleet.run.start('--debug', ...words)
    while (child.exitCode === null) {
      for (const path of await searchProcesses(canaries)) inProcesses.add(path)
      await sleep(10)
    }
    const { stdout, stderr } = await ended
    printed.push(stdout, stderr)
    assert.equal(child.exitCode, 0, stderr)
  }
  // Two of the keys travel a second time.
  await ageTickets(fleet, 3_600_000)
  await watched('apply')
  for (const words of [['ledger'], ['ledger', 'keys'], ['--json', 'ledger']]) await watched(...words)
  const lines = await linesOf()
  canaries.push(...ticketCanariesOf(lines))
  assert.deepEqual([...inProcesses], [])
  assert.ok(!holds(Buffer.from(printed.join('')), canaries), 'printed')

  const places = [fleet.directory, ...fleet.servers.flatMap(({ service, sshd }) => [service.directory, sshd.directory])]
  const found = async () => (await Promise.all(places.map((place) => searchFiles(place, canaries)))).flat().sort()
  const allowed = await Promise.all(
    fleet.servers.map(async ({ base, kind }) => {
      const set = join(base, await readlink(join(base, 'tickets')))
      return (kind === 'haproxy' ? ['tickets.keys'] : ['current.key', 'next.key', 'previous.key']).map((name) =>
        join(set, name),
      )
    }),
  )
  const onDisk = await found()
  assert.deepEqual(onDisk, allowed.flat().sort(), 'on disk: where they must be, and nowhere else')
  for (const path of onDisk) assert.equal((await lstat(path)).mode & 0o077, 0, `${path} can be read by others`)
  const left: string[] = []
  for (const name of await readdir(tmpdir())) {
    const path = join(tmpdir(), name)
    const { mtimeMs } = await lstat(path).catch(() => ({ mtimeMs: 0 }))
    if (mtimeMs >= startedMs && !places.includes(path)) left.push(...(await searchFiles(path, canaries)))
  }
  assert.deepEqual(left, [], 'temporary files')

  for (const { name } of fleet.servers) await watched('server', 'release', name)
  assert.deepEqual(await found(), [], 'released: gone from every disk')
})
