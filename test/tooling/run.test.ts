import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { test } from 'node:test'

const head = `import { describe, test } from 'node:test'\nimport assert from 'node:assert/strict'\n`

/** Runs a copy of the runner over the given test files. */
function runTests(files: Readonly<Record<string, string>>, filters: readonly string[] = []) {
  const root = mkdtempSync(join(tmpdir(), 'onecert-run-'))
  try {
    writeFileSync(join(root, 'package.json'), '{"type":"module"}')
    mkdirSync(join(root, 'test'))
    for (const name of ['run.ts', 'packages.ts', 'results.ts']) {
      cpSync(resolve(import.meta.dirname, '..', name), join(root, 'test', name))
    }
    for (const [name, text] of Object.entries(files)) writeFileSync(join(root, 'test', name), head + text)
    const { NODE_TEST_CONTEXT: _, ...env } = process.env
    const argv = ['--disable-warning=ExperimentalWarning', join(root, 'test/run.ts'), ...filters]
    const { status, stdout, stderr } = spawnSync(process.execPath, argv, { encoding: 'utf8', env, timeout: 60_000 })
    return { status, stdout, stderr, last: stdout.trimEnd().split('\n').at(-1) }
  } finally {
    rmSync(root, { recursive: true })
  }
}

test('leaf tests are counted, and the last line is the summary', () => {
  const { status, last } = runTests({
    'one.test.ts': `test('a', () => {})\ndescribe('suite', () => { test('b', () => {}); test('c', () => {}) })`,
    'two.test.ts': `test('parent', async (t) => { await t.test('d', () => {}) })`,
  })
  assert.equal(last, '4 passed, 0 failed')
  assert.equal(status, 0)
})

test('a failure is shown in full, with what the file printed, and counted once', () => {
  const { status, stdout, last } = runTests({
    'one.test.ts': `describe('suite', () => {
      test('good', () => {})
      test('bad', () => { console.log('said before'); assert.equal('left', 'right') })
    })`,
  })
  assert.match(stdout, /bad/)
  assert.match(stdout, /'left' !== 'right'/)
  assert.match(stdout, /one\.test\.ts:\d+/)
  assert.match(stdout, /said before/)
  assert.equal(last, '1 passed, 1 failed')
  assert.equal(status, 1)
})

test('a skipped test and a todo are failures', () => {
  const { status, last } = runTests({
    'one.test.ts': `test.skip('a', () => {})\ntest.todo('b')\ntest('c', (t) => t.skip('no root'))\ntest('d', () => {})`,
  })
  assert.equal(last, '1 passed, 3 failed')
  assert.equal(status, 1)
})

test('a failing hook, a crash after the tests and a file without tests are failures', () => {
  const { status, last } = runTests({
    'crash.test.ts': `test('a', () => {})\nprocess.on('exit', () => { process.exitCode = 7 })`,
    'empty.test.ts': '',
    'hook.test.ts': `import { after } from 'node:test'
      describe('suite', () => { after(() => { throw new Error('hook') }); test('b', () => {}) })`,
    'syntax.test.ts': 'this is no program',
  })
  assert.equal(last, '2 passed, 4 failed')
  assert.equal(status, 1)
})

test('a filter chooses files, and one that names none is an error', () => {
  const files = { 'one.test.ts': `test('a', () => {})`, 'two.test.ts': `test('b', () => {})` }
  assert.equal(runTests(files, ['two']).last, '1 passed, 0 failed')
  const nothing = runTests(files, ['three'])
  assert.match(nothing.stderr, /no test file is named by three/)
  assert.equal(nothing.last, '0 passed, 0 failed')
  assert.equal(nothing.status, 1)
})

test('no test at all is an error', () => {
  const { status, stderr, last } = runTests({})
  assert.match(stderr, /no test ran/)
  assert.equal(last, '0 passed, 0 failed')
  assert.equal(status, 1)
})
