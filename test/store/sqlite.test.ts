import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { text } from 'node:stream/consumers'
import { test } from 'node:test'
import { thisHolder } from '../../src/store/holder.ts'
import { openStore } from '../../src/store/sqlite.ts'
import { asNobody, underUmask } from '../base/account.ts'
import { printed, refusalOf, stackLine } from '../base/refusals.ts'
import { scratch } from '../base/scratch.ts'
import { generationOf } from '../contract/rows.ts'
import { storeContract } from '../contract/store.ts'

storeContract('SQLite', async () => {
  const directory = await scratch()
  const where = directory.file('state')
  return {
    open: () => openStore(where),
    address: { module: new URL('../../src/store/sqlite.ts', import.meta.url).href, where },
    [Symbol.asyncDispose]: () => directory[Symbol.asyncDispose](),
  }
})

test('the directory of the state has mode 0700 and its files 0600, whatever the umask', async () => {
  for (const mask of [0o000, 0o022, 0o077]) {
    await using directory = await scratch()
    const state = directory.file('deep/state')
    const store = await underUmask(mask, async () => {
      const opened = await openStore(state)
      await opened.addGeneration(generationOf('www', 'a'))
      return opened
    })
    assert.equal((await stat(state)).mode & 0o7777, 0o700)
    const names = await readdir(state)
    assert.ok(names.includes('state.db') && names.includes('state.db-wal'))
    for (const name of names) assert.equal((await stat(join(state, name))).mode & 0o7777, 0o600, name)
    await store.close()
  }
})

test('a state that others could read is closed to them when it is opened', async () => {
  await using directory = await scratch()
  await (await openStore(directory.path)).close()
  await chmod(directory.file('state.db'), 0o644)
  await (await openStore(directory.path)).close()
  assert.equal((await stat(directory.file('state.db'))).mode & 0o7777, 0o600)
})

test('a state that a newer onecert wrote is refused with both numbers, and left as it is', async () => {
  await using directory = await scratch()
  await (await openStore(directory.path)).close()
  const file = directory.file('state.db')
  const database = new DatabaseSync(file)
  database.exec('PRAGMA user_version = 99; CREATE TABLE of_the_future (x)')
  database.close()
  const before = await readFile(file)
  const error = await refusalOf(() => openStore(directory.path))
  assert.deepEqual([error.code, error.exit], ['STATE_TOO_NEW', 78])
  assert.ok(error.message.includes(file))
  assert.match(printed(error), /schema is 99, this onecert knows \d+[\s\S]*nothing was changed[\s\S]*upgrade onecert/)
  assert.ok(before.equals(await readFile(file)))
})

test('an empty file, as a full disk leaves it, becomes a state', async () => {
  await using directory = await scratch()
  await writeFile(directory.file('state.db'), '')
  const store = await openStore(directory.path)
  assert.equal((await store.addGeneration(generationOf('www', 'a'))).number, 1)
  await store.close()
})

const ruins: readonly (readonly [string, (whole: Buffer) => Buffer])[] = [
  ['a text', () => Buffer.from('this is no database\n'.repeat(500))],
  ['zeros', (whole) => Buffer.alloc(whole.length)],
  ['a file with a damaged head', (whole) => Buffer.concat([Buffer.alloc(100, 7), whole.subarray(100)])],
]

for (const [what, ruin] of ruins) {
  test(`${what} in place of the state is told as damaged, and left as it is`, async () => {
    await using directory = await scratch()
    const store = await openStore(directory.path)
    await store.addGeneration(generationOf('www', 'a'))
    await store.close()
    const file = directory.file('state.db')
    const ruined = ruin(await readFile(file))
    await writeFile(file, ruined)
    const error = await refusalOf(() => openStore(directory.path))
    assert.deepEqual([error.code, error.exit], ['STATE_DAMAGED', 74])
    assert.match(printed(error), /state\.db[\s\S]*SQLite says[\s\S]*servers go on serving[\s\S]*backup/)
    assert.doesNotMatch(printed(error), stackLine)
    assert.ok(ruined.equals(await readFile(file)))
  })
}

test('a place where no state can be is told with its owner and its mode', async () => {
  await using directory = await scratch()
  await mkdir(directory.file('closed'))
  await chmod(directory.path, 0o755)
  await chmod(directory.file('closed'), 0o555)
  await writeFile(directory.file('file'), '')
  await mkdir(directory.file('taken/state.db'), { recursive: true })
  for (const [place, cause] of [
    ['closed', 'EACCES'],
    ['closed/deeper', 'EACCES'],
    ['file', 'EEXIST: something else has its name'],
    ['file/below', 'ENOTDIR: a part of its path is no directory'],
    ['taken', 'EISDIR: a directory has its name'],
  ] as const) {
    const error = await asNobody(() => refusalOf(() => openStore(directory.file(place))))
    assert.deepEqual([error.code, error.exit], ['STATE_NOT_WRITABLE', 73], place)
    assert.ok(error.failure.fact?.startsWith(`${cause}; `), `${place}: ${error.failure.fact}`)
    assert.match(error.failure.fact ?? '', /; we are uid \d+$/)
  }
})

test('a state of another account, in a directory that we may not pass through, is no defect of ours', async () => {
  await using directory = await scratch()
  await (await openStore(directory.path)).close()
  await chmod(directory.path, 0o700)
  const error = await asNobody(() => refusalOf(() => openStore(directory.path)))
  assert.equal(error.code, 'STATE_NOT_WRITABLE')
  assert.match(error.failure.fact ?? '', /^EACCES; .* mode 0700; we are uid \d+$/)
})

test('processes that open a new state at the same moment all get it', async () => {
  await using directory = await scratch()
  const rounds = 15
  const program = `
    const { openStore } = await import(process.argv[1])
    for (let round = 0; round < ${rounds}; round++) {
      const moment = Number(process.argv[3]) + round * 100
      while (Date.now() < moment);
      await (await openStore(process.argv[2] + '/' + round)).close()
    }`
  const module = new URL('../../src/store/sqlite.ts', import.meta.url).href
  const words = ['--input-type=module', '--eval', program, module, directory.path, String(Date.now() + 1_500)]
  const told = await Promise.all(
    Array.from({ length: 4 }, async () => {
      const child = spawn(process.execPath, words, { stdio: ['ignore', 'inherit', 'pipe'] })
      return { stderr: await text(child.stderr), exit: child.exitCode ?? (await once(child, 'exit'))[0] }
    }),
  )
  for (const { exit, stderr } of told) assert.equal(exit, 0, stderr)
})

test('a lock that another process keeps is told as such, and is no damage', async () => {
  await using directory = await scratch()
  const store = await openStore(directory.path)
  const other = new DatabaseSync(directory.file('state.db'))
  other.exec('BEGIN IMMEDIATE')
  const error = await refusalOf(() => store.addGeneration(generationOf('www', 'a')))
  assert.deepEqual([error.code, error.exit, error.retryable], ['STATE_BUSY', 75, true])
  assert.match(printed(error), /state\.db[\s\S]*database is locked[\s\S]*nothing was changed/)
  assert.doesNotMatch(printed(error), /backup of/)
  other.exec('ROLLBACK')
  other.close()
  assert.equal((await store.addGeneration(generationOf('www', 'a'))).number, 1)
  await store.close()
})

test('a full disk is told by every write, nothing is half there, and with room again the store goes on', async () => {
  await using directory = await scratch()
  const program = `
    const fs = await import('node:fs')
    const { openStore } = await import(process.argv[1])
    const state = process.argv[2]
    const store = await openStore(state)
    fs.writeFileSync(state + '/filler', Buffer.alloc(1_000_000))
    const link = (previous, { atMs, body }) => ({ seq: (previous?.seq ?? 0) + 1, atMs, body, prev: '', hash: '' })
    let error
    let written = 0
    for (; !error && written < 5_000; written++) {
      error = await store.appendRecord([{ atMs: 1, body: 'x'.repeat(5_000) }], link).then(() => undefined, (thrown) => thrown)
    }
    const lease = await store.acquireLease('www', { holder: 'x'.repeat(50_000), nowMs: 1, lifetimeMs: 1 }).catch((thrown) => thrown)
    fs.rmSync(state + '/filler')
    const [row] = await store.appendRecord([{ atMs: 1, body: 'after' }], link)
    console.log(JSON.stringify({ error, lease, written, seq: row.seq }))`
  const module = new URL('../../src/store/sqlite.ts', import.meta.url).href
  const inside = 'mount -t tmpfs -o size=2m tmpfs "$1" && exec "$2" --input-type=module --eval "$3" "$4" "$1"'
  const asRoot = process.getuid?.() === 0 ? [] : ['--map-root-user']
  const words = ['--mount', 'sh', '-c', inside, 'sh', directory.path, process.execPath, program, module]
  const { stdout, stderr } = spawnSync('unshare', [...asRoot, ...words], { encoding: 'utf8' })
  assert.notEqual(stdout, '', stderr)
  const { error, lease, written, seq } = JSON.parse(stdout)
  assert.deepEqual([error.code, lease.code], ['STATE_DISK_FULL', 'STATE_DISK_FULL'])
  assert.match(error.what, /state\.db cannot be written: the disk is full$/)
  assert.equal(seq, written)
})

test('a state that is damaged while it is open is told by whatever reads it', async () => {
  await using directory = await scratch()
  const store = await openStore(directory.path)
  const other = new DatabaseSync(directory.file('state.db'))
  other.exec('DROP TABLE observation')
  other.close()
  const error = await refusalOf(() => store.observations())
  assert.deepEqual([error.code, error.exit], ['STATE_DAMAGED', 74])
  await store.close()
})

test('a state that may only be read is told so', async () => {
  await using directory = await scratch()
  await (await openStore(directory.path)).close()
  await chmod(directory.path, 0o755)
  await chmod(directory.file('state.db'), 0o444)
  const error = await asNobody(() => refusalOf(() => openStore(directory.path)))
  assert.equal(error.code, 'STATE_NOT_WRITABLE')
})

test('the lease of a process of this machine that has ended is free at once', async () => {
  await using directory = await scratch()
  const store = await openStore(directory.path)
  const { pid } = spawnSync('true')
  const [, , started] = thisHolder().split(':')
  const wanted = { holder: thisHolder(), nowMs: 0, lifetimeMs: 60_000 }
  for (const ended of [`${hostname()}:${pid}:1`, `${hostname()}:${process.pid}:${Number(started) + 1}`]) {
    const first = await store.acquireLease('www', { ...wanted, holder: ended })
    const next = await store.acquireLease('www', wanted)
    assert.ok(next.token > first.token)
    await store.releaseLease('www', next.token)
  }
  await store.acquireLease('www', wanted)
  assert.equal((await refusalOf(() => store.acquireLease('www', wanted))).code, 'LEASE_HELD')
  await store.close()
})
