import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { watchMemory } from '../memory.ts'
import { onecert } from '../onecert.ts'
import { type CertificateFiles, writeCertificate } from '../real/certificate.ts'
import { startNginx } from '../real/nginx.ts'
import { makeDirectory } from '../real/running.ts'
import type { RunningService } from '../real/service.ts'

const name = 'www.lab.example'
/** Of the runtime, mostly; measured: 184 to 201 MiB, for 50,000 lines as for 200,000. */
const bytesMax = 240 * 1_024 * 1_024

interface Line {
  readonly line: number
  readonly input: string
  readonly verdict: 'ok' | 'wrong' | 'unseen' | 'bad'
  readonly endpoints: readonly { readonly leaf: { readonly fingerprint: string } | null }[]
}

let directory: string
let files: CertificateFiles
let nginx: RunningService
let at: string
let number = 0

before(async () => {
  directory = await makeDirectory('probe-list')
  files = await writeCertificate(directory, [name])
  nginx = await startNginx({ sites: [{ names: [name], chain: files.chain, key: files.key }] })
  at = `${nginx.address}:${nginx.port}`
})
after(async () => {
  await nginx.stop()
  await rm(directory, { recursive: true })
})

const run = onecert('/nowhere/onecert.yaml', '/nowhere/state')

const path = (kind: string) => join(directory, `${kind}-${++number}`)

/** Of each 40 lines one is nonsense, one is for another name, one leads nowhere, one is blank. */
async function makeList(lines: number): Promise<{ list: string; wanted: Map<number, Line['verdict']> }> {
  const odd = ['not a line at all', `${at} shop.lab.example`, `${nginx.address}:1 ${name}`, '']
  const verdicts = ['bad', 'wrong', 'unseen'] as const
  const wanted = new Map<number, Line['verdict']>()
  const texts = Array.from({ length: lines }, (_, index) => {
    const kind = index % 40
    const verdict = kind < 3 ? verdicts[kind] : 'ok'
    if (verdict !== undefined && kind !== 3) wanted.set(index + 1, verdict)
    return odd[kind] ?? `${at} ${name}`
  })
  const list = path('list')
  await writeFile(list, texts.join('\n'))
  return { list, wanted }
}

async function readOut(out: string): Promise<Line[]> {
  const text = await readFile(out, 'utf8')
  assert.ok(text.endsWith('\n'))
  return text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

function assertWhole(lines: readonly Line[], wanted: ReadonlyMap<number, Line['verdict']>): void {
  assert.deepEqual(new Map(lines.toSorted((a, b) => a.line - b.line).map((each) => [each.line, each.verdict])), wanted)
  for (const { verdict, endpoints } of lines)
    if (verdict === 'ok') assert.equal(endpoints[0]?.leaf?.fingerprint, files.fingerprint)
}

/** When some of the list is done, and most of it is not. */
async function until(out: string, lines: number): Promise<void> {
  for (let waited = 0; waited < 60_000; waited += 10) {
    if ((await stat(out).catch(() => ({ size: 0 }))).size > lines * 400) return
    await sleep(10)
  }
  assert.fail(`${out} does not grow`)
}

test('each line has one result, with its number; a bad one is told and ends nothing', async () => {
  const { list, wanted } = await makeList(2_000)
  const out = path('out')
  const { exit, stdout, stderr } = await run('probe', '--from', list, '--out', out)
  assert.equal(exit, 1)
  assert.equal(stdout, '')
  assert.match(stderr, /1950 lines: 1800 ok, 50 wrong, 50 unseen, 50 bad; \d+\/s/)
  const lines = await readOut(out)
  assert.equal(lines.length, 1_950)
  assertWhole(lines, wanted)
})

test('a list in which nothing is wrong ends with 0, with something unseen with 2; it may come on stdin', async () => {
  for (const [line, status] of [
    [`${at} ${name}`, 0],
    [`${at} ${name}\n${nginx.address}:1 ${name}`, 2],
    [`${at} ${name}\nnot a line`, 2],
  ] as const) {
    const child = spawn(process.execPath, [launcher, 'probe', '--from', '-'], { stdio: ['pipe', 'pipe', 'ignore'] })
    child.stdin.end(line)
    const text = await textOf(child)
    assert.equal(text.trimEnd().split('\n').length, line.split('\n').length)
    assert.equal(child.exitCode, status)
  }
})

describe('a list that was not done to its end', () => {
  test('after a kill -9 --resume does what is missing: each line at least once, none is lost', async () => {
    const { list, wanted } = await makeList(2_000)
    const out = path('out')
    const { child, ended } = run.start('probe', '--from', list, '--out', out)
    await until(out, 500)
    child.kill('SIGKILL')
    await ended
    // A kill may come in the middle of a write.
    await truncate(out, (await stat(out)).size - 100)
    const kept = (await readFile(out, 'utf8')).split('\n').length - 1
    assert.ok(kept > 100 && kept < 1_900, `${kept} lines were done`)
    const { exit, stderr } = await run('probe', '--from', list, '--out', out, '--resume')
    assert.equal(exit, 1)
    assert.match(stderr, new RegExp(`1950 lines \\(${kept} were done before\\): 1800 ok, 50 wrong, 50 unseen, 50 bad`))
    assertWhole(await readOut(out), wanted)
    assert.equal((await readOut(out)).length, 1_950)

    const before = await readFile(out)
    const again = await run('probe', '--from', list, '--out', out, '--resume')
    assert.equal(again.exit, 1)
    assert.deepEqual(await readFile(out), before)
  })

  test('Ctrl-C ends in order, and says how to go on', async () => {
    const { list, wanted } = await makeList(2_000)
    const out = path('out')
    const { child, ended } = run.start('probe', '--from', list, '--out', out)
    await until(out, 300)
    child.kill('SIGINT')
    const { exit, stderr } = await ended
    assert.equal(exit, 75)
    assert.match(stderr, /error INTERRUPTED: interrupted\n {2}\d+ lines: \d+ ok.*\n {2}state: .* has what is done/)
    assert.match(stderr, /next: {2}run the same command with --resume/)
    const done = await readOut(out)
    assert.ok(done.length < 1_950)
    await run('probe', '--from', list, '--out', out, '--resume')
    const whole = await readOut(out)
    assertWhole(whole, wanted)
    assert.equal(whole.length, 1_950)
  })

  test('what is no output of this list is left as it is', async () => {
    const { list } = await makeList(80)
    const out = path('out')
    await run('probe', '--from', list, '--out', out)
    const shifted = path('list')
    await writeFile(shifted, `${at} shifted.lab.example\n${await readFile(list, 'utf8')}`)
    const stranger = path('notes')
    await writeFile(stranger, 'what somebody wrote down, without a line break')
    for (const [words, hint] of [
      [['--from', list, '--out', out], /is there already/],
      [['--from', shifted, '--out', out, '--resume'], /belongs to another list/],
      [['--from', list, '--out', stranger, '--resume'], /was not written by onecert probe/],
      [['--from', list, '--out', list, '--resume'], /was not written by onecert probe/],
    ] as const) {
      const files = [list, out, stranger]
      const before = await Promise.all(files.map((file) => readFile(file, 'utf8')))
      const { exit, stderr } = await run('probe', ...words)
      assert.equal(exit, 64, stderr)
      assert.match(stderr, hint)
      assert.deepEqual(await Promise.all(files.map((file) => readFile(file, 'utf8'))), before)
    }
  })
})

test('a reader that stops for a while makes no handshake fail', async () => {
  const list = path('list')
  await writeFile(list, `${at} ${name}\n`.repeat(5_000))
  const child = spawn(process.execPath, [launcher, 'probe', '--from', list, '--timeout', '1500ms'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const text = textOf(child)
  // More than the pipe and the buffers take, and longer than a handshake may.
  child.stdout.pause()
  await sleep(10_000)
  child.stdout.resume()
  const lines = (await text).trimEnd().split('\n')
  assert.equal(lines.length, 5_000)
  assert.deepEqual(new Set(lines.map((line) => (JSON.parse(line) as Line).verdict)), new Set(['ok']))
  assert.equal(child.exitCode, 0)
})

test('150,000 lines take no more memory than 50,000, but for a quarter', async () => {
  const few = await peakOf(50_000)
  const many = await peakOf(150_000)
  assert.ok(few > 0 && many < few * 1.25, `${few} and ${many} bytes`)
  assert.ok(many < bytesMax, `${many} bytes`)
})

/** @returns the most memory (bytes) that a list of so many lines took */
async function peakOf(lines: number): Promise<number> {
  const list = path('list')
  // Most of them lead nowhere, which is quick.
  const block = `${`${nginx.address}:1 ${name}\n`.repeat(19)}${at} ${name}\n`
  await writeFile(list, block.repeat(lines / 20))
  const out = path('out')
  await rm(out, { force: true })
  const { child, ended } = run.start('probe', '--from', list, '--out', out)
  const peakBytes = watchMemory(child)
  const { exit, stderr } = await ended
  assert.equal(exit, 2)
  assert.match(stderr, new RegExp(`${lines} lines: ${lines / 20} ok, 0 wrong, ${(lines / 20) * 19} unseen, 0 bad`))
  return peakBytes()
}

test('on a terminal there is a bar with the share, the rate and what is left; results stay apart from it', async () => {
  const { list } = await makeList(1_200)
  const out = path('out')
  // script(1) gives it a terminal.
  const command = `${process.execPath} ${launcher} probe --from ${list} --out ${out}`
  const { stdout } = await promisify(execFile)('script', ['-qec', command, '/dev/null'], {
    env: { ...process.env, TERM: 'xterm' },
    encoding: 'utf8',
  }).catch((error: { stdout: string }) => error)
  assert.match(stdout, /\r\[█*░+\] {2}\d+ % {2}\d+\/s {2}\d+ s left {2}\d+ ok, \d+ wrong/)
  assert.match(stdout, /1170 lines: 1080 ok, 30 wrong, 30 unseen, 30 bad/)
  assert.equal((await readOut(out)).length, 1_170)
})

const launcher = new URL('../../bin/onecert', import.meta.url).pathname

async function textOf(child: ChildProcess): Promise<string> {
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (more: string) => {
    text += more
  })
  await once(child, 'close')
  return text
}
