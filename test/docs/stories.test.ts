import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(resolve(root, file), 'utf8')

interface Shown {
  readonly story: number
  readonly file: string
  readonly name: string
}

/** `[name](../test/….test.ts)` in the last column of a row. */
const shown = [...read('docs/stories.md').matchAll(/^\| (\d+) +\|.*$/gm)].flatMap(([row, story]) =>
  [...row.matchAll(/\[([^\]]+)\]\(\.\.\/(test\/[^)]+)\)/g)].map(
    ([, name = '', file = '']): Shown => ({ story: Number(story), file, name }),
  ),
)

/** As they are written; what a name gets at run time may be any text. */
function namesIn(file: string): RegExp[] {
  return [...read(file).matchAll(/\b(?:test|describe)\(\s*(?:'([^'\n]+)'|"([^"\n]+)"|`([^`\n]+)`)/g)].map(
    ([, single, double, template = '']) => {
      const parts = (single ?? double ?? template).split(/\$\{[^}]*\}/)
      return new RegExp(`^${parts.map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')).join('.+')}$`)
    },
  )
}

test('each of the sixteen stories has a test', () => {
  const stories = [...new Set(shown.map(({ story }) => story))].toSorted((left, right) => left - right)
  assert.deepEqual(
    stories,
    Array.from({ length: 16 }, (_, at) => at + 1),
  )
})

test('the tests that it names are there, under these names', () => {
  const missing = shown.filter(
    ({ file, name }) => !existsSync(resolve(root, file)) || !namesIn(file).some((each) => each.test(name)),
  )
  assert.deepEqual(missing, [])
})
