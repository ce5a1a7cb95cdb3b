import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { stripVTControlCharacters } from 'node:util'
import settings from '../package.json' with { type: 'json' }

const root = resolve(import.meta.dirname, '..')

// Each tool by itself, so that one failure does not hide the others.
for (const command of settings.scripts.check.split(' && ')) {
  test(`npm run check: ${command}`, () => {
    const { status, stdout, stderr } = spawnSync('sh', ['-c', command], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, PATH: `${root}/node_modules/.bin:${process.env.PATH}` },
    })
    assert.equal(status, 0, stripVTControlCharacters(stdout + stderr))
  })
}
