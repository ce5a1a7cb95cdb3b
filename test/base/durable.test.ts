import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readdirSync, statSync } from 'node:fs'
import { chmod, mkdir, open, readdir, readFile, readlink, stat, symlink, truncate, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { test } from 'node:test'
import { createDurably, explainWrite, readBounded, writeDurably } from '../../src/base/durable.ts'
import { OnecertError } from '../../src/base/errors.ts'
import { thisProcess } from '../../src/base/process.ts'
import { asNobody, underUmask } from './account.ts'
import { isWhole, payload, writerFiles } from './endless-writer.ts'
import { printed, refusalOf } from './refusals.ts'
import { scratch } from './scratch.ts'
import { killWhileWriting } from './victim.ts'

const before = Buffer.from('before')
const after = Buffer.from('after')

test('a file is made, and replaced, with the bytes that were given and nothing beside it', async () => {
  await using directory = await scratch()
  const path = directory.file('file')
  for (const bytes of [before, Buffer.alloc(0), payload(1)]) {
    await writeDurably(path, bytes, { mode: 0o600 })
    assert.ok(bytes.equals(await readFile(path)))
  }
  assert.deepEqual(await readdir(directory.path), ['file'])
})

test('who has the old file open goes on reading the old one, whole', async () => {
  await using directory = await scratch()
  const path = directory.file('file')
  await writeDurably(path, payload(1), { mode: 0o600 })
  await using reader = await open(path)
  await writeDurably(path, after, { mode: 0o600 })
  assert.ok(payload(1).equals(await reader.readFile()))
})

for (const mode of [0o400, 0o440, 0o600, 0o640, 0o644]) {
  for (const mask of [0o000, 0o022, 0o077]) {
    test(`mode ${mode.toString(8)} is what the file has under umask ${mask.toString(8)}, new or replaced`, async () => {
      await using directory = await scratch()
      const path = directory.file('file')
      await underUmask(mask, async () => {
        await writeDurably(path, before, { mode })
        assert.equal((await stat(path)).mode & 0o7777, mode)
        await chmod(path, 0o666)
        await writeDurably(path, after, { mode })
        assert.equal((await stat(path)).mode & 0o7777, mode)
      })
    })
  }
}

test('no content is in a file that others could read before it has its mode and its name', async () => {
  await using directory = await scratch()
  const seen = new Set<string>()
  let writing = true
  const watch = async () => {
    while (writing) {
      for (const name of readdirSync(directory.path)) {
        const facts = statSync(join(directory.path, name), { throwIfNoEntry: false })
        if (facts && facts.size > 0 && name !== 'file') seen.add((facts.mode & 0o7777).toString(8))
      }
      await new Promise(setImmediate)
    }
  }
  const watching = watch()
  await underUmask(0, () => writeDurably(directory.file('file'), Buffer.alloc(32 * 1024 * 1024), { mode: 0o600 }))
  writing = false
  await watching
  assert.deepEqual([...seen], ['600'])
})

test('a link at the path is replaced; what it points to is left alone', async () => {
  await using directory = await scratch()
  await writeFile(directory.file('elsewhere'), before)
  await symlink('elsewhere', directory.file('link'))
  await writeDurably(directory.file('link'), after, { mode: 0o600 })
  assert.ok(before.equals(await readFile(directory.file('elsewhere'))))
  assert.ok(after.equals(await readFile(directory.file('link'))))
  await assert.rejects(readlink(directory.file('link')))
})

test('writers at the same time leave one of their files, whole', async () => {
  await using directory = await scratch()
  const path = directory.file('file')
  await Promise.all(Array.from({ length: 8 }, (_, number) => writeDurably(path, payload(number), { mode: 0o600 })))
  assert.ok(isWhole(await readFile(path)))
  assert.deepEqual(await readdir(directory.path), ['file'])
})

test('kill -9 in the middle of writing never leaves a torn file, nor one that was told as written and is older', async () => {
  await using directory = await scratch()
  const script = join(import.meta.dirname, 'endless-writer.ts')
  for (let round = 0; round < 10; round++) {
    const told = await killWhileWriting(script, [directory.path], 1 + (round % 4))
    for (const name of writerFiles) {
      const bytes = await readFile(directory.file(name))
      assert.ok(isWhole(bytes), `${name} is torn in round ${round}`)
      assert.ok(Number(bytes.subarray(0, 16).toString()) >= Number(told.at(-1)))
    }
    for (const name of await readdir(directory.path)) {
      assert.equal((await stat(directory.file(name))).mode & 0o077, 0, `${name} can be read by others`)
    }
  }
  await Promise.all(writerFiles.map((name) => writeDurably(directory.file(name), after, { mode: 0o600 })))
  assert.deepEqual((await readdir(directory.path)).toSorted(), writerFiles)
})

test('what killed writers left in a directory goes with the next write there; what others write stays', async () => {
  await using directory = await scratch()
  const { pid, started } = thisProcess()
  const { pid: ended } = spawnSync('true')
  const killed = [`.other.${ended}-${started}-0123456789ab`, `.file.${pid}-${Number(started) - 1}-0123456789ab`]
  const others = [`.file.${pid}-${started}-0123456789ab`, `.file.${ended}-0123456789ab`, '.file.swp']
  for (const put of [writeDurably, createDurably]) {
    for (const name of [...killed, ...others]) await writeFile(directory.file(name), 'canary')
    await put(directory.file('file'), after, { mode: 0o600 })
    assert.deepEqual((await readdir(directory.path)).toSorted(), [...others, 'file'].toSorted())
  }
})

test('of several that make a file at once one does, and the others are told so', async () => {
  await using directory = await scratch()
  const path = directory.file('file')
  const made = await Promise.all(
    Array.from({ length: 8 }, (_, number) => createDurably(path, payload(number), { mode: 0o640 })),
  )
  assert.equal(made.filter((each) => each).length, 1)
  assert.ok(payload(made.indexOf(true)).equals(await readFile(path)))
  assert.equal((await stat(path)).mode & 0o7777, 0o640)
  assert.deepEqual(await readdir(directory.path), ['file'])
})

test('making a file leaves alone whatever has its name', async () => {
  await using directory = await scratch()
  await writeFile(directory.file('file'), before)
  await mkdir(directory.file('directory'))
  await symlink('nowhere', directory.file('link'))
  for (const name of ['file', 'directory', 'link']) {
    assert.equal(await createDurably(directory.file(name), after, { mode: 0o600 }), false, name)
  }
  assert.ok(before.equals(await readFile(directory.file('file'))))
  assert.equal(await readlink(directory.file('link')), 'nowhere')
  assert.deepEqual((await readdir(directory.path)).toSorted(), ['directory', 'file', 'link'])
})

test('a full disk is told as such; the old file stays and nothing is left beside it', async () => {
  await using directory = await scratch()
  const errors = new URL('../../src/base/durable.ts', import.meta.url).href
  const program = `
    const { writeDurably } = await import('${errors}')
    const path = process.argv[1] + '/file'
    await writeDurably(path, Buffer.from('before'), { mode: 0o600 })
    const error = await writeDurably(path, Buffer.alloc(3_000_000), { mode: 0o600 }).catch((thrown) => thrown)
    const fs = await import('node:fs')
    console.log(JSON.stringify({ error, text: fs.readFileSync(path, 'utf8'), names: fs.readdirSync(process.argv[1]) }))`
  const inside = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" --input-type=module --eval "$3" "$1"'
  const asRoot = process.getuid?.() === 0 ? [] : ['--map-root-user']
  const words = [...asRoot, '--mount', 'sh', '-c', inside, 'sh', directory.path, process.execPath, program]
  const { stdout, stderr } = spawnSync('unshare', words, { encoding: 'utf8' })
  assert.notEqual(stdout, '', stderr)
  const { error, text, names } = JSON.parse(stdout)
  assert.equal(error.code, 'STATE_DISK_FULL')
  assert.match(
    `${error.what}; ${error.state}`,
    /\/file cannot be written: the disk is full; what was there is as it was/,
  )
  assert.deepEqual([text, names], ['before', ['file']])
})

test('a directory that may not be written is told with its owner, its mode and our uid', async () => {
  await using directory = await scratch()
  const path = directory.file('closed/file')
  await mkdir(directory.file('closed'))
  await writeFile(path, before)
  await chmod(directory.path, 0o755)
  await chmod(directory.file('closed'), 0o555)
  const error = await asNobody(() => refusalOf(() => writeDurably(path, after, { mode: 0o600 })))
  assert.deepEqual([error.code, error.exit], ['STATE_NOT_WRITABLE', 73])
  assert.match(error.failure.fact ?? '', /^EACCES; .*closed belongs to uid \d+, mode 0555; we are uid \d+$/)
  assert.ok(before.equals(await readFile(path)))
  assert.deepEqual(await readdir(directory.file('closed')), ['file'])
})

test('a directory that is not there is told', async () => {
  await using directory = await scratch()
  const path = directory.file('missing/x')
  const error = await refusalOf(() => writeDurably(path, after, { mode: 0o600 }))
  assert.equal(error.code, 'STATE_NOT_WRITABLE')
  assert.match(error.failure.fact ?? '', /^ENOENT; .*missing is not there; we are uid \d+$/)
  assert.match(error.message, new RegExp(path))
})

test('a write that fails at its last step leaves no file behind', async () => {
  await using directory = await scratch()
  await mkdir(directory.file('taken'))
  await writeFile(directory.file('taken/inside'), before)
  const error = await refusalOf(() => writeDurably(directory.file('taken'), after, { mode: 0o600 }))
  assert.equal(error.code, 'STATE_NOT_WRITABLE')
  assert.match(error.failure.fact ?? '', /^EISDIR: a directory has its name; /)
  assert.deepEqual(await readdir(directory.path), ['taken'])
  assert.ok(before.equals(await readFile(directory.file('taken/inside'))))
})

test('a path that leads through a file, or is too long, is told as what it is', async () => {
  await using directory = await scratch()
  await writeFile(directory.file('file'), before)
  for (const [name, fact] of [
    ['file/below', /^ENOTDIR: a part of its path is no directory; /],
    ['x'.repeat(300), /^ENAMETOOLONG: its name is too long; /],
  ] as const) {
    for (const put of [writeDurably, createDurably]) {
      const error = await refusalOf(() => put(directory.file(name), after, { mode: 0o600 }))
      assert.equal(error.code, 'STATE_NOT_WRITABLE')
      assert.match(error.failure.fact ?? '', fact)
    }
  }
})

test('a disk that fails is told as damage, and nothing is said to be as it was', async () => {
  const error = await explainWrite(Object.assign(new Error('EIO'), { code: 'EIO' }), '/var/lib/onecert/x')
  assert.ok(error instanceof OnecertError)
  assert.deepEqual([error.code, error.exit], ['STATE_DAMAGED', 74])
  assert.doesNotMatch(printed(error), /as it was/)
})

const causes: readonly (readonly [string, string, number])[] = [
  ['ENOSPC', 'STATE_DISK_FULL', 74],
  ['EDQUOT', 'STATE_DISK_FULL', 74],
  ['EACCES', 'STATE_NOT_WRITABLE', 73],
  ['EPERM', 'STATE_NOT_WRITABLE', 73],
  ['EROFS', 'STATE_NOT_WRITABLE', 73],
]

for (const [cause, code, exit] of causes) {
  test(`${cause} of the system is ${code}, with the path, what is left and what to do`, async () => {
    const system = Object.assign(new Error(`${cause}: raw text`), { code: cause })
    const error = await explainWrite(system, '/var/lib/onecert/x')
    assert.ok(error instanceof OnecertError)
    assert.deepEqual([error.code, error.exit, error.cause], [code, exit, system])
    const { what, state, next } = error.failure
    assert.match(`${what} | ${state} | ${next}`, /\/var\/lib\/onecert\/x .*\| what was there is as it was \| .+/)
    assert.doesNotMatch(printed(error), /raw text/)
  })
}

test('where the directory is missing, the next command makes it', async () => {
  const error = await refusalOf(() => writeDurably('/nowhere/below/x', after, { mode: 0o600 }))
  assert.equal(error.code, 'STATE_NOT_WRITABLE')
  assert.equal(error.failure.next, 'mkdir -p /nowhere/below, then run the command again')
})

test('what no write fails with passes through', async () => {
  const defect = new TypeError('x')
  assert.equal(await explainWrite(defect, '/x'), defect)
})

test('a file is read up to its limit, and refused one byte beyond, with both numbers', async () => {
  await using directory = await scratch()
  const path = directory.file('file')
  for (const size of [0, 1, 99, 100]) {
    await writeFile(path, Buffer.alloc(size, 7))
    assert.deepEqual(await readBounded(path, { bytesMax: 100 }), new Uint8Array(size).fill(7))
  }
  await writeFile(path, Buffer.alloc(101))
  const error = await refusalOf(() => readBounded(path, { bytesMax: 100 }))
  assert.equal(error.code, 'INPUT_TOO_LARGE')
  assert.equal(error.failure.fact, '101 bytes, limit 100')
})

test('the limit holds for what is read, whatever size the file says it has', async () => {
  assert.equal((await stat('/proc/self/status')).size, 0)
  const error = await refusalOf(() => readBounded('/proc/self/status', { bytesMax: 10 }))
  assert.equal(error.code, 'INPUT_TOO_LARGE')
  assert.equal(error.failure.fact, 'more than 10 bytes, the limit')
  assert.match(Buffer.from(await readBounded('/proc/self/status', { bytesMax: 65_536 })).toString(), /\nPid:/)
})

test('who reads may look at the file that was opened, and refuse it', async () => {
  await using directory = await scratch()
  await writeFile(directory.file('file'), before, { mode: 0o640 })
  await symlink('file', directory.file('link'))
  const refusal = new Error('refused')
  const admit = ({ mode }: { mode: number }) => {
    if ((mode & 0o777) === 0o640) throw refusal
  }
  await assert.rejects(readBounded(directory.file('link'), { bytesMax: 100, admit }), refusal)
  await chmod(directory.file('file'), 0o600)
  assert.equal((await readBounded(directory.file('link'), { bytesMax: 100, admit })).length, before.length)
})

test('a file of 40 GiB is refused without being read', async () => {
  await using directory = await scratch()
  const path = directory.file('sparse')
  await writeFile(path, '')
  await truncate(path, 40 * 1024 ** 3)
  const memory = process.memoryUsage().rss
  const error = await refusalOf(() => readBounded(path, { bytesMax: 1024 * 1024 }))
  assert.equal(error.code, 'INPUT_TOO_LARGE')
  assert.ok(process.memoryUsage().rss - memory < 50 * 1024 * 1024)
})

test('what is no file is refused, and never waited for', { timeout: 10_000 }, async () => {
  await using directory = await scratch()
  const pipe = directory.file('pipe')
  assert.equal(spawnSync('mkfifo', [pipe]).status, 0)
  const socket = directory.file('socket')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(socket, resolve))
  try {
    for (const [path, kind] of [
      [directory.path, /is a directory, not a file/],
      [pipe, /is a FIFO, not a file/],
      ['/dev/zero', /is a device, not a file/],
      [socket, /is no regular file/],
    ] as const) {
      const error = await refusalOf(() => readBounded(path, { bytesMax: 100 }))
      assert.equal(error.code, 'INPUT_NOT_A_FILE')
      assert.match(error.message, kind)
    }
  } finally {
    server.close()
  }
})

test('a file that is not there, or that we may not read, is told with what was found', async () => {
  await using directory = await scratch()
  await writeFile(directory.file('file'), before)
  for (const name of ['missing', 'missing/file', 'file/below', 'x'.repeat(300)]) {
    const error = await refusalOf(() => readBounded(directory.file(name), { bytesMax: 100 }))
    assert.deepEqual([error.code, error.exit], ['INPUT_NOT_FOUND', 65])
    assert.ok(error.message.startsWith(directory.file(name)))
  }
  await chmod(directory.path, 0o755)
  await chmod(directory.file('file'), 0)
  const error = await asNobody(() => refusalOf(() => readBounded(directory.file('file'), { bytesMax: 100 })))
  assert.deepEqual([error.code, error.exit], ['INPUT_UNREADABLE', 77])
  assert.match(error.failure.fact ?? '', /belongs to uid \d+, mode 0000; we are uid \d+$/)
})
