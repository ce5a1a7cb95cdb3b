import assert from 'node:assert/strict'
import { globSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { test } from 'node:test'
import { catalogue, type ErrorCode } from '../../src/base/catalogue.ts'

const root = resolve(import.meta.dirname, '../..')
const read = (file: string) => readFileSync(resolve(root, file), 'utf8')
const isCode = (word: string): word is ErrorCode => Object.hasOwn(catalogue, word)

interface Entry {
  readonly code: string
  readonly text: string
}

function entriesOf(page: string): Entry[] {
  return page.split(/^(?=#{2,3} )/m).flatMap(
    (text) =>
      /^### (\S+)\n/
        .exec(text)
        ?.slice(1)
        .map((code) => ({ code, text })) ?? [],
  )
}

/** Codes that src/ can report: quoted in TypeScript, bare words of the receiver. Comments do not count. */
function codesInUse(): ErrorCode[] {
  const used = globSync('src/**/*.{ts,sh}', { cwd: root })
    .filter((file) => file !== 'src/base/catalogue.ts')
    .flatMap((file) => {
      const text = read(file).replaceAll(/^\s*(#|\/\/|\/?\*).*$/gm, '')
      return [...text.matchAll(file.endsWith('.sh') ? /\b([A-Z0-9_]+)\b/g : /'([A-Z0-9_]+)'/g)]
    })
    .flatMap(([, word = '']) => (isCode(word) ? [word] : []))
  return [...new Set(used)]
}

/** Named in the pages, and no codes. */
const environment = [
  'ONECERT_FLEET',
  'ONECERT_STATE',
  'ONECERT_DNS_NAME',
  'ONECERT_DNS_VALUE',
  'ONECERT_DNS_ZONE',
  'SSH_AUTH_SOCK',
]

const entries = entriesOf(read('docs/errors.md'))
const described = entries.map(({ code }) => code)

test('every code that src/ uses has an entry in docs/errors.md', () => {
  assert.ok(codesInUse().length > 50)
  assert.deepEqual(
    codesInUse().filter((code) => !described.includes(code)),
    [],
  )
})

test('every entry of docs/errors.md names a code of the catalogue, once', () => {
  assert.deepEqual(
    described.filter((code) => !isCode(code)),
    [],
  )
  assert.deepEqual(
    described.filter((code, at) => described.indexOf(code) !== at),
    [],
  )
})

test('every entry says the exit status of the catalogue, a cause and what to do', () => {
  for (const { code, text } of entries) {
    const [, status] = /^Exit status (\d+)\. \S/m.exec(text) ?? []
    assert.equal(Number(status), isCode(code) && catalogue[code].exit, `the exit status of ${code}`)
    assert.match(text, /^- Cause: \S/m, `the cause of ${code}`)
    assert.match(text, /^- Do: \S/m, `what to do about ${code}`)
  }
})

test('a code that a page names in its text is one that can occur', () => {
  for (const page of globSync('docs/**/*.md', { cwd: root })) {
    const named = [...read(page).matchAll(/`([A-Z0-9]+(?:_[A-Z0-9]+)+)`/g)].map(([, word = '']) => word)
    const unknown = named.filter((word) => !described.includes(word) && !environment.includes(word))
    assert.deepEqual(unknown, [], page)
  }
})
