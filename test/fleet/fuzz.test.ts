import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { printed, stackLine } from '../base/refusals.ts'
import { good, problemsOf } from './good.ts'

/** Accepted, or refused with errors of the catalogue that can be printed anywhere. */
function readsOrRefuses(text: string | Uint8Array): void {
  const problems = problemsOf(text)
  for (const { code, message, failure } of problems) {
    assert.notEqual(code, 'INTERNAL')
    assert.notEqual(message, '')
    assert.doesNotMatch(`${failure.excerpt} ${failure.next}`, /[\p{Cf}\u0000-\u0009\u000b-\u001f\u007f-\u009f]/u)
    if (failure.at !== undefined) assert.match(failure.at, /^fleet\.yaml:[1-9]\d*:[1-9]\d*$/)
  }
  if (problems[0]) assert.doesNotMatch(printed(problems[0]), stackLine)
}

test('random bytes and texts are refused with a code, never with a crash', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), readsOrRefuses), { numRuns: 150 })
  fc.assert(fc.property(fc.string({ unit: 'binary', maxLength: 200 }), readsOrRefuses), { numRuns: 150 })
})

test('texts of what YAML is made of are accepted or refused with a code', () => {
  const piece = fc.constantFrom(
    ...['\n', '  ', '    ', '- ', ': ', '? ', '{ ', ' }', '[ ', ' ]', ', ', '"', "'", '|', '>', '#', '!', '%', '---\n'],
    ...['version: 1\n', 'servers:', 'sites:', 'issuers:', 'certificates:', '*.a.example', '!!str ', '!x ', '~', 'null'],
    ...[
      'true',
      '0600',
      '1e9',
      '.inf',
      '.nan',
      '0x10',
      '2001-01-01',
      '__proto__',
      'constructor',
      '<<',
      '\t',
      '\r\n',
      '\ufeff',
    ],
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => readsOrRefuses(pieces.join(''))),
    { numRuns: 700 },
  )
})

test('a good file that was damaged is accepted or refused with a code', () => {
  const damage = fc.record({
    at: fc.nat({ max: good.length }),
    remove: fc.nat({ max: 30 }),
    insert: fc.oneof(
      fc.string({ unit: 'grapheme', maxLength: 5 }),
      fc.constantFrom(
        '\n',
        '\n  ',
        '\t',
        ': ',
        '{',
        '}',
        '[',
        ']',
        ', ',
        '- ',
        '#',
        '"',
        "'",
        '0',
        '-1',
        'null',
        '!x ',
      ),
    ),
  })
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (damages) => {
      const text = damages.reduce((whole, { at, remove, insert }) => {
        return whole.slice(0, at) + insert + whole.slice(at + remove)
      }, good)
      readsOrRefuses(text)
    }),
    { numRuns: 300 },
  )
})

test('a good file whose every line was moved, doubled or taken away is accepted or refused with a code', () => {
  const lines = good.split('\n')
  for (let at = 0; at < lines.length; at++) {
    readsOrRefuses(lines.toSpliced(at, 1).join('\n'))
    readsOrRefuses(lines.toSpliced(at, 0, lines[at] ?? '').join('\n'))
    readsOrRefuses(lines.with(at, `  ${lines[at]}`).join('\n'))
    readsOrRefuses(lines.slice(0, at).join('\n'))
  }
})

test('any value in place of any other is accepted or refused with a code', () => {
  const values = ['null', '[[]]', '-1', 'true', '{ a: { b: c } }', '9e999']
  const places = [...good.matchAll(/: ([^\s{["][^\s,}\]]*)/g)]
  assert.ok(places.length > 30)
  for (const place of places) {
    for (const value of values) {
      const start = place.index + 2
      readsOrRefuses(good.slice(0, start) + value + good.slice(start + (place[1] ?? '').length))
    }
  }
})
