import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { closest } from '../../src/base/similar.ts'

const keys = ['servers', 'sites', 'issuers', 'certificates', 'rollout', 'version', 'confirm-within', 'local-ca']

const typed: readonly (readonly [string, string | undefined])[] = [
  ['server', 'servers'],
  ['srevers', 'servers'],
  ['Servers', 'servers'],
  ['site', 'sites'],
  ['certifcates', 'certificates'],
  ['certficiates', 'certificates'],
  ['roll-out', 'rollout'],
  ['confirm_within', 'confirm-within'],
  ['localca', 'local-ca'],
  ['versoin', 'version'],
  ['passphrase', undefined],
  ['x', undefined],
  ['', undefined],
  ['__proto__', undefined],
]

for (const [word, meant] of typed) {
  test(`"${word}" was probably meant to be ${meant ?? 'nothing that is known'}`, () => {
    assert.equal(closest(word, keys), meant)
  })
}

test('nothing is near where nothing is known', () => assert.equal(closest('servers', []), undefined))

test('a swap of neighbours counts as one mistake, so that it beats two', () => {
  assert.equal(closest('abdc', ['abxy', 'abcd']), 'abcd')
  assert.equal(closest('ba', ['ab']), 'ab')
})

test('a word with one mistake always finds the word that was meant, and a known word itself', () => {
  const mistake = fc.record({
    word: fc.constantFrom(...keys),
    at: fc.nat(),
    letter: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz-'),
    kind: fc.constantFrom('insert', 'delete', 'change', 'swap', 'none'),
  })
  fc.assert(
    fc.property(mistake, ({ word, at: anywhere, letter, kind }) => {
      const at = anywhere % (word.length - 1)
      const [head, tail] = [word.slice(0, at), word.slice(at)]
      const wrong = {
        insert: head + letter + tail,
        delete: head + tail.slice(1),
        change: head + letter + tail.slice(1),
        swap: head + tail.slice(0, 2).split('').reverse().join('') + tail.slice(2),
        none: word,
      }[kind]
      assert.equal(closest(wrong, keys), word)
    }),
    { numRuns: 1_000 },
  )
})
