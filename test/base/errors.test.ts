import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { catalogue, type ErrorCode } from '../../src/base/catalogue.ts'
import { asOnecertError, fail, OnecertError, quote } from '../../src/base/errors.ts'
import { printed, refusalOf, stackLine } from './refusals.ts'

const canary = 'MC4CAQAwBQYDK2VwBCIEIPcanaryPcanaryPcanaryPcanaryPcanaryP'
const codes = Object.keys(catalogue) as ErrorCode[]

test('fail throws an error with its code, its exit status and all that it was told', async () => {
  const failure = {
    what: 'web-3 does not answer',
    fact: 'no answer in 10 s',
    state: 'nothing was changed',
    next: 'try',
  }
  const error = await refusalOf(() => fail('SSH_TIMEOUT', failure))
  assert.ok(error instanceof Error)
  assert.deepEqual([error.code, error.exit, error.retryable, error.message], ['SSH_TIMEOUT', 69, true, failure.what])
  assert.deepEqual(JSON.parse(JSON.stringify(error)), { code: 'SSH_TIMEOUT', ...failure })
})

test('what may be tried again says so: service unavailable and temporary, and nothing else', () => {
  const may = codes.filter((code) => new OnecertError(code, { what: '' }).retryable)
  assert.deepEqual(
    may,
    codes.filter((code) => [69, 75].includes(catalogue[code].exit)),
  )
})

test('the printed form has neither a stack nor anything of the cause, also of further failures', () => {
  const cause = new Error(`OpenSSL could not read ${canary}`)
  const also = [new OnecertError('PEM_DAMAGED', { what: 'the second is damaged', cause })]
  const error = new OnecertError('KEY_UNSUPPORTED', { what: 'the first cannot be read', cause, also })
  const text = printed(error)
  assert.match(text, /KEY_UNSUPPORTED: the first cannot be read[\s\S]*PEM_DAMAGED: the second is damaged/)
  assert.doesNotMatch(text, stackLine)
  assert.doesNotMatch(text, /canary/)
})

test('a person is shown what, fact, state and next, each on its own line', () => {
  const error = new OnecertError('LEASE_HELD', { what: 'W', fact: 'F1\nF2', state: 'S', next: 'N', at: 'a.yaml:1:2' })
  const [first, ...rest] = printed(error).split('\n').slice(0, 5)
  assert.equal(first, 'error LEASE_HELD: a.yaml:1:2: W')
  assert.deepEqual(rest, ['  F1', '  F2', '  state: S', '  next:  N'])
})

test('an error of the catalogue stays what it is', () => {
  const error = new OnecertError('USAGE', { what: 'x' })
  assert.equal(asOnecertError(error), error)
})

const thrown: readonly (readonly [string, unknown, RegExp])[] = [
  ['an Error', new TypeError('x is not a function'), /x is not a function/],
  ['a text', 'plain text', /plain text/],
  ['nothing', undefined, /undefined/],
  ['null', null, /null/],
  ['a symbol', Symbol('odd'), /odd/],
  ['an object', { code: 'USAGE', failure: {} }, /object/],
  ['an object without a text', Object.create(null), /without a text/],
  ['an Error whose message is none', Object.assign(new Error(), { message: { toString: null } }), /without a text/],
]

for (const [what, value, fact] of thrown) {
  test(`${what} that was thrown becomes INTERNAL, exit 70, with its text and without its stack`, () => {
    const error = asOnecertError(value)
    assert.deepEqual([error.code, error.exit, error.retryable], ['INTERNAL', 70, false])
    assert.match(error.failure.fact ?? '', fact)
    assert.equal(error.cause, value)
    assert.doesNotMatch(printed(error), stackLine)
  })
}

test('the text of a defect cannot forge lines or drive a terminal, and is cut', () => {
  const error = asOnecertError(new Error(`\u001b[2J\nerror USAGE: forged\r${'x '.repeat(5_000)}`))
  assert.match(error.failure.fact ?? '', /^\\x1b\[2J\\x0aerror USAGE: forged\\x0d(x )+x?…$/)
  assert.equal([...(error.failure.fact ?? '')].length, 201)
})

const keyTexts: readonly (readonly [string, string])[] = [
  ['a PEM block', `-----BEGIN PRIVATE KEY-----\n${canary}\ncanary==\n-----END PRIVATE KEY-----`],
  ['a PEM block that was cut', '-----BEGIN EC PRIVATE KEY-----\ncanary'],
  ['Base64 without its PEM lines', canary],
  ['hex', Buffer.from(canary).toString('hex')],
  ['an age identity', `AGE-SECRET-KEY-1${'CANARY7Q'.repeat(8)}`],
]

for (const [what, text] of keyTexts) {
  test(`the text of a defect is shown without ${what}`, () => {
    const error = asOnecertError(new Error(`cannot read ${text}`))
    assert.match(error.failure.fact ?? '', /^cannot read \[(PEM|\d+ characters)\]$/)
    assert.doesNotMatch(printed(error), /canary|63616e617279/i)
  })
}

const harmless: readonly (readonly [string, string, string])[] = [
  ['an escape sequence', '\u001b[31mred', '\\x1b[31mred'],
  ['a line break', 'a\nb\r\nc', 'a\\x0ab\\x0d\\x0ac'],
  ['NUL and DEL', '\u0000\u007f', '\\x00\\x7f'],
  ['the one-character CSI', '\u009b31m', '\\x9b31m'],
  ['a text that turns its direction', 'exe.\u202egpj', 'exe.\\u{202e}gpj'],
  ['an invisible space', 'pay\u200bpal', 'pay\\u{200b}pal'],
  ['a line separator', 'a\u2028b\u2029c', 'a\\u{2028}b\\u{2029}c'],
  ['an invisible tag character', 'a\u{e0041}', 'a\\u{e0041}'],
  ['letters of other scripts', 'bücher — 日本 🔑', 'bücher — 日本 🔑'],
]

for (const [what, input, output] of harmless) {
  test(`quote makes ${what} harmless`, () => assert.equal(quote(input), output))
}

test('no text comes out of quote with a control or format character in it, or longer than asked for', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.integer({ min: 1, max: 200 }), (text, max) => {
      const shown = quote(text, max)
      assert.doesNotMatch(shown, /[\p{Cc}\p{Cf}\u2028\u2029]/u)
      assert.ok([...shown].length <= max + 1)
    }),
    { numRuns: 2_000 },
  )
})

test('quote leaves printable text as it is up to its limit, and marks a cut', () => {
  const printable = fc.string({ unit: 'grapheme-ascii', maxLength: 80 })
  fc.assert(fc.property(printable, (text) => assert.equal(quote(text), text)))
  assert.equal(quote('x'.repeat(80)), 'x'.repeat(80))
  assert.equal(quote('x'.repeat(81)), `${'x'.repeat(80)}…`)
  assert.equal(quote('🔑🔑🔑', 2), '🔑🔑…')
})
