import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { test } from 'node:test'

const tool = resolve(import.meta.dirname, '../../tools/rooms.ts')

/** What tools/rooms.ts says about a project of the given files. */
function judge(files: Readonly<Record<string, string>>): { status: number | null; lines: string[] } {
  const root = mkdtempSync(join(tmpdir(), 'onecert-rooms-'))
  try {
    for (const [file, text] of Object.entries(files)) {
      mkdirSync(dirname(join(root, file)), { recursive: true })
      writeFileSync(join(root, file), text)
    }
    const { status, stderr } = spawnSync(process.execPath, [tool, root], { encoding: 'utf8' })
    return { status, lines: stderr.split('\n').filter((line) => line !== '') }
  } finally {
    rmSync(root, { recursive: true })
  }
}

test('imports from rooms before, from the own room, from packages and of package.json are allowed', () => {
  const verdict = judge({
    'src/base/errors.ts': `import { inspect } from 'node:util'`,
    'src/pki/chain.ts': `import { fail } from '../base/errors.ts'\nimport './key.ts'`,
    'src/pki/key.ts': '',
    'src/ledger/entry.ts': `import '../store/store.ts'`,
    'src/store/store.ts': '',
    'src/cli/main.ts': `import '../actions/apply.ts'\nimport data from '../../package.json'`,
    'src/cli/commands/apply.ts': `import '../main.ts'\nimport '../../base/errors.ts'`,
    'src/actions/apply.ts': `import '../ledger/entry.ts'\nimport type { A } from '../pki/chain.ts'`,
  })
  assert.deepEqual(verdict, { status: 0, lines: [] })
})

test('an import from a later room is refused, be it a type, a re-export or dynamic', () => {
  const { status, lines } = judge({
    'src/base/a.ts': `\nimport type { B } from '../pki/b.ts'`,
    'src/pki/b.ts': `export * from '../fleet/c.ts'`,
    'src/fleet/c.ts': `await import('../cli/main.ts')`,
    'src/cli/main.ts': '',
  })
  assert.equal(status, 1)
  assert.deepEqual(lines, [
    'src/base/a.ts:2: base stands before pki and must not import it',
    'src/fleet/c.ts:1: fleet stands before cli and must not import it',
    'src/pki/b.ts:1: pki stands before fleet and must not import it',
  ])
})

test('rooms that stand side by side do not import one another', () => {
  const { lines } = judge({
    'src/vault/a.ts': `import '../reach/b.ts'`,
    'src/reach/b.ts': '',
    'src/cli/main.ts': `import '../lab/demo.ts'`,
    'src/lab/demo.ts': '',
  })
  assert.deepEqual(lines, [
    'src/cli/main.ts:1: cli stands beside lab and must not import it',
    'src/vault/a.ts:1: vault stands beside reach and must not import it',
  ])
})

test('src imports nothing from the tests, and knows no other rooms', () => {
  const { lines } = judge({
    'src/base/a.ts': `import '../../test/real/nginx.ts'\nimport '../utils/b.ts'`,
    'src/utils/b.ts': '',
    'src/loose.ts': '',
  })
  assert.equal(lines.length, 4)
  assert.match(lines[0] ?? '', /^src\/base\/a\.ts:1: src imports nothing from outside src: test\/real\/nginx\.ts$/)
  assert.match(lines[1] ?? '', /^src\/base\/a\.ts:2: utils is no room$/)
  assert.match(lines[2] ?? '', /^src\/loose\.ts:1: src is no room/)
  assert.match(lines[3] ?? '', /^src\/utils\/b\.ts:1: utils is no room/)
})

test('files that import each other in a circle are told once, all of them', () => {
  const { status, lines } = judge({
    'src/base/a.ts': `import './b.ts'\nimport './c.ts'`,
    'src/base/b.ts': `import './c.ts'`,
    'src/base/c.ts': `\nimport type { A } from './a.ts'`,
    'src/base/own.ts': `import './own.ts'`,
  })
  assert.equal(status, 1)
  assert.ok(lines.includes('src/base/a.ts:1: a circle: src/base/a.ts → src/base/b.ts → src/base/c.ts → src/base/a.ts'))
  assert.ok(lines.includes('src/base/own.ts:1: a circle: src/base/own.ts → src/base/own.ts'))
})

test('a root without src is an error', () => {
  assert.equal(judge({ 'readme.md': '' }).status, 1)
})
