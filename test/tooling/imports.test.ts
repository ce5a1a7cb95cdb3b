import assert from 'node:assert/strict'
import { test } from 'node:test'
import { importsOf } from '../../tools/imports.ts'

const specifiers = (text: string) => importsOf(text).map(({ specifier }) => specifier)

test('every way to import is found, with its line', () => {
  const text = `import 'a'
import b from "b"
import type { C } from 'c'
import {
  d, // from 'no'
} from 'd'
import e, * as all from 'e'
export { f } from 'f'
export * from 'g'
export type { H } from 'h'
const i = await import('i')
const j = await import( /* why */ 'j', { with: { type: 'json' } })
type K = typeof import('k') | import('l').L
const m = \`\${await import('m')} from 'no' \${\`\${import('n')}\`}\``
  assert.deepEqual(specifiers(text), [...'abcdefghijklmn'])
  assert.deepEqual(importsOf(text)[3], { specifier: 'd', line: 6 })
  assert.deepEqual(importsOf(text)[9], { specifier: 'j', line: 12 })
})

test('what only looks like an import is not one', () => {
  const text = `// import 'a'
/* import 'b'
from 'c' */
const text = "import 'd'" + 'import("e")' + \`import 'f' from 'g' \\\` from 'h'\`
const expression = /import 'i'/.test(text)
const list = Array.from('j')
const here = import.meta.dirname
const path = 'k'
await import(path)`
  assert.deepEqual(specifiers(text), [])
})

test('quotes and comment signs inside regular expressions hide no import', () => {
  const text = `const sign = text.replace(/[\`'"]/g, '').split(/[/*]/)
const half = (width / 2) / list[0] / 2
const slash = /\\/*'/
const open = f(x => { return /\`/ })
export * from 'a'
const b = await import('b') // */ \``
  assert.deepEqual(specifiers(text), ['a', 'b'])
})
