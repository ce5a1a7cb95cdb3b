import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:http'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Kind, type RealFleet, type ServerOptions, siteName, startFleet } from '../real/fleet.ts'
import { chooseEndpoint, makeDirectory } from '../real/running.ts'

const execute = promisify(execFile)
const folders: string[] = []
after(() => Promise.all(folders.map((each) => rm(each, { recursive: true, force: true }))))

async function makeFolder(name: string): Promise<string> {
  const folder = await makeDirectory(name)
  folders.push(folder)
  return folder
}

interface Entry {
  readonly effect: string
  readonly phase: string
  readonly result?: string
  readonly code?: string
  readonly path?: string
}

/** A server that has the certificate, and whose configuration reads a folder of include files and serves nothing else. */
async function startReading(options: ServerOptions, beside: Readonly<Record<string, Kind>> = {}) {
  const folder = options.further ?? (await makeFolder('include'))
  const fleet = await startFleet({ 'eu-1': options, ...beside })
  const server = fleet.server('eu-1')
  const { address, port } = server.service
  const { port: httpPort } = await chooseEndpoint({ address })
  await fleet.configure((document) => {
    document.servers['eu-1'].include = folder
  })
  const applied = await fleet.run('apply')
  assert.equal(applied.exit, 0, applied.stderr)
  const { configuration } = server.service
  const before = await readFile(configuration, 'utf8')
  const at = `${address}:${port}`
  const modules = ['headers', 'alias'].map(
    (each) => `LoadModule ${each}_module /usr/lib/apache2/modules/mod_${each}.so`,
  )
  const edits: Partial<Record<Kind, () => string>> = {
    nginx: () => before.replace(/ {2}server \{\n {4}listen [\s\S]*\n {2}\}\n/, `  include ${folder}/*.conf;\n`),
    apache: () =>
      `${before.replace(/<VirtualHost[\s\S]*<\/VirtualHost>/, '')}\n${modules.join('\n')}\nListen ${address}:${httpPort}\nIncludeOptional ${folder}/*.conf\n`,
    haproxy: () => before.replace(`bind ${at}`, `bind ${address}:${httpPort + 1}`),
  }
  const changed = edits[options.kind]?.() ?? before
  assert.notEqual(changed, before)
  await writeFile(configuration, changed)
  const file = join(folder, options.kind === 'haproxy' ? 'onecert.cfg' : `onecert-${siteName}.conf`)
  const words = ['config', siteName, '--bind', address, '--http-port', String(httpPort)]
  return { fleet, server, folder, file, httpPort, words, installed: () => fleet.run(...words, '--install') }
}

async function configured(fleet: RealFleet): Promise<Entry[]> {
  const { entries } = await fleet.run.json<{ entries: Entry[] }>('ledger')
  return entries.filter(({ effect }) => effect === 'configure')
}

function location(address: string, port: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    request({ host: address, port, path: '/a', headers: { host: siteName } }, (answer) => {
      answer.resume()
      resolve(answer.headers.location)
    })
      .on('error', reject)
      .end()
  })
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; !(await condition()); tries++, await sleep(20))
    assert.ok(tries < 1_000, 'it did not come to that')
}

const onlyOurs = async (folder: string) => (await readdir(folder)).filter((name) => !name.endsWith('.d'))

test('nginx: an include file is put there, proved, replaced, and taken away; each failure brings the old one back', async () => {
  const { fleet, server, folder, file, httpPort, words, installed } = await startReading({ kind: 'nginx' })
  await using _fleet = fleet
  const { address } = server.service

  // What the user adds to the site is broken: the test of nginx fails, and nothing was there before.
  const more = join(folder, `onecert-${siteName}.d`)
  await mkdir(more)
  await writeFile(join(more, 'mine.conf'), 'no such word;\n')
  const broken = await installed()
  assert.equal(broken.exit, 69, broken.stderr)
  assert.match(broken.stderr, /SERVICE_TEST_FAILED[\s\S]*unknown directive "no"/)
  assert.deepEqual(await onlyOurs(folder), [])

  await writeFile(join(more, 'mine.conf'), 'location / { return 200 "mine"; }\n')
  const first = await installed()
  assert.equal(first.exit, 0, first.stderr)
  assert.match(first.stdout, /proved by handshake/)
  assert.deepEqual(await onlyOurs(folder), [`onecert-${siteName}.conf`])
  const text = await readFile(file, 'utf8')
  assert.match(text, /^# Made by onecert config for www\.lab\.example/)
  // The server was asked: it is no nginx 1.25, and its OpenSSL has no X25519MLKEM768.
  assert.match(text, /for nginx 1\.\d+\.\d+, OpenSSL 3\./)
  assert.match(text, new RegExp(`ssl_certificate ${server.paths[0]};`))
  assert.equal(await server.served(), await server.onDisk())
  assert.equal(await location(address, httpPort), `https://${siteName}:${server.service.port}/a`)

  // Loaded, but at an address where nobody looks: the handshake fails, and the old file is back in use.
  const elsewhere = address.replace(/\d+$/, '251')
  const unproved = await fleet.run(
    'config',
    siteName,
    '--bind',
    elsewhere,
    '--http-port',
    String(httpPort),
    '--install',
  )
  assert.equal(unproved.exit, 69, unproved.stderr)
  assert.match(unproved.stderr, /VERIFY_UNREACHABLE[\s\S]*brought back and the service reloaded/)
  assert.equal(await readFile(file, 'utf8'), text)
  assert.equal(await server.served(), await server.onDisk())
  assert.deepEqual(await onlyOurs(folder), [`onecert-${siteName}.conf`])

  const removed = await fleet.run(...words, '--uninstall')
  assert.equal(removed.exit, 0, removed.stderr)
  assert.deepEqual(await onlyOurs(folder), [])
  await until(async () => (await server.served().catch(() => null)) === null)
  const again = await fleet.run(...words, '--uninstall')
  assert.match(again.stdout, /there is no/)

  const entries = await configured(fleet)
  assert.ok(entries.every(({ path }) => path === file))
  assert.deepEqual(
    entries.filter(({ phase }) => phase === 'outcome').map(({ result, code }) => code ?? result),
    ['SERVICE_TEST_FAILED', 'done', 'VERIFY_UNREACHABLE', 'done', 'done'],
  )
  assert.equal(entries.filter(({ phase }) => phase === 'intent').length, 5)
})

test('nginx: onecert is killed before the new file was proved; the server brings the old one back by itself', async () => {
  const { fleet, server, file, httpPort, words, installed } = await startReading({ kind: 'nginx' })
  await using _fleet = fleet
  const first = await installed()
  assert.equal(first.exit, 0, first.stderr)
  const text = await readFile(file, 'utf8')
  const elsewhere = server.service.address.replace(/\d+$/, '251')
  const killed = fleet.run.start('config', siteName, '--bind', elsewhere, '--http-port', String(httpPort), '--install')
  await until(async () => (await readFile(file, 'utf8')) !== text)
  killed.child.kill('SIGKILL')
  await killed.ended
  await until(async () => (await readFile(file, 'utf8')) === text)
  await until(async () => (await server.served().catch(() => null)) === (await server.onDisk()))
  // The lease of a process that is gone holds nobody up.
  const removed = await fleet.run(...words, '--uninstall')
  assert.equal(removed.exit, 0, removed.stderr)
})

test('nginx: a file that is not ours is left alone, a folder that is not read is told, a broken configuration stops it', async () => {
  const { fleet, server, folder, file, installed } = await startReading({ kind: 'nginx' })
  await using _fleet = fleet
  await writeFile(file, '# mine\n')
  const foreign = await installed()
  assert.equal(foreign.exit, 73, foreign.stderr)
  assert.match(foreign.stderr, /INCLUDE_FOREIGN/)
  assert.equal(await readFile(file, 'utf8'), '# mine\n')
  const removal = await fleet.run('config', siteName, '--uninstall')
  assert.equal(removal.exit, 73, removal.stderr)
  assert.equal(await readFile(file, 'utf8'), '# mine\n')

  const unread = await makeFolder('unread')
  await fleet.configure((document) => {
    document.servers['eu-1'].include = unread
  })
  const ignored = await installed()
  assert.equal(ignored.exit, 78, ignored.stderr)
  assert.match(ignored.stderr, /INCLUDE_NOT_READ/)
  assert.deepEqual(await readdir(unread), [])

  await fleet.configure((document) => {
    document.servers['eu-1'].include = folder
  })
  await writeFile(file, 'somebody else broke it;\n')
  const already = await installed()
  assert.match(already.stderr, /INCLUDE_FOREIGN/)
  await writeFile(file, '# Made by onecert\nbroken;\n')
  const stopped = await installed()
  assert.equal(stopped.exit, 69, stopped.stderr)
  assert.match(stopped.stderr, /SERVICE_ALREADY_BROKEN/)
  assert.equal(await readFile(file, 'utf8'), '# Made by onecert\nbroken;\n')
  assert.equal(await server.served(), await server.onDisk())
})

for (const kind of ['apache', 'haproxy'] as const) {
  test(`${kind}: an include file is put there, proved, and taken away`, async () => {
    const further = kind === 'haproxy' ? { further: await makeFolder('include') } : {}
    const { fleet, server, folder, file, httpPort, words, installed } = await startReading({ kind, ...further })
    await using _fleet = fleet
    const first = await installed()
    assert.equal(first.exit, 0, first.stderr)
    assert.equal(await server.served(), await server.onDisk())
    assert.equal(await location(server.service.address, httpPort), `https://${siteName}:${server.service.port}/a`)
    assert.ok(existsSync(file))
    const removed = await fleet.run(...words, '--uninstall')
    assert.equal(removed.exit, 0, removed.stderr)
    assert.deepEqual(await readdir(folder), [])
  })
}

test('nginx: a server whose include file is still there keeps its files, and its configuration, until that is taken away', async () => {
  const { fleet, server, file, words } = await startReading({ kind: 'nginx' }, { 'us-1': 'nginx' })
  await using _fleet = fleet
  const first = await fleet.run(...words, '--server', 'eu-1', '--install')
  assert.equal(first.exit, 0, first.stderr)
  const uninstall = `onecert config ${siteName} --server eu-1 --uninstall`
  const remove = ['server', 'remove', 'eu-1', '--now']
  assert.ok((await fleet.run(...remove, '--dry-run')).stdout.includes(`until this is done: ${uninstall}\n`))

  const refused = await fleet.run(...remove, '--yes')
  assert.equal(refused.exit, 78, refused.stderr)
  assert.match(refused.stderr, /INCLUDE_INSTALLED/)
  assert.ok(refused.stderr.includes(file) && refused.stderr.includes(uninstall), refused.stderr)
  assert.equal(await server.served(), await server.onDisk())
  const [program = '', ...argv] = server.service.test
  await execute(program, argv)

  const gone = await fleet.run(...uninstall.split(' ').slice(1))
  assert.equal(gone.exit, 0, gone.stderr)
  assert.doesNotMatch((await fleet.run(...remove, '--dry-run')).stdout, /uninstall/)
  const removed = await fleet.run(...remove, '--yes')
  assert.equal(removed.exit, 0, removed.stderr)
  await assert.rejects(server.onDisk())
  await execute(program, argv)
})

test('nothing is installed where the server has no certificate yet', async () => {
  await using fleet = await startFleet({ 'eu-1': 'nginx' })
  await fleet.configure((document) => {
    document.servers['eu-1'].include = '/tmp'
  })
  const { exit, stderr } = await fleet.run('config', siteName, '--install')
  assert.equal(exit, 78, stderr)
  assert.match(stderr, /INCLUDE_NOT_READY/)
})
