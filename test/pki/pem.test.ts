import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { inputBytesMax } from '../../src/base/limits.ts'
import { parseCertificates } from '../../src/pki/certificate.ts'
import { sniff } from '../../src/pki/input.ts'
import { parsePrivateKey } from '../../src/pki/key.ts'
import { parsePem, writePem } from '../../src/pki/pem.ts'
import { refusal, vector } from './vectors.ts'

const file = 'site.pem'
const lastContentLine = Buffer.from(vector('15-truncated-base64.pem')).toString().trimEnd().split('\n').length - 1

test('what was written as PEM is read back byte for byte', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ minLength: 1, maxLength: 400 }), { minLength: 1, maxLength: 5 }), (parts) => {
      const text = parts.map((part) => writePem('CERTIFICATE', part)).join('')
      const blocks = parsePem(text, { file })
      assert.deepEqual(
        blocks.map(({ der }) => der),
        parts,
      )
    }),
    { numRuns: 200 },
  )
})

test('what was written as PEM has 64 columns and exactly one newline at the end', () => {
  const text = writePem('CERTIFICATE', new Uint8Array(96))
  assert.equal(text, `-----BEGIN CERTIFICATE-----\n${'A'.repeat(64)}\n${'A'.repeat(64)}\n-----END CERTIFICATE-----\n`)
})

test('a byte order mark, CRLF, indentation and text around the blocks change nothing', () => {
  const good = parseCertificates(vector('good.pem'), { file })
  const odd = parseCertificates(vector('13-bom-crlf-text.pem'), { file })
  assert.equal(odd.map(({ pem }) => pem).join(''), Buffer.from(vector('good.pem')).toString())
  assert.deepEqual(odd, good)
  const indented = Buffer.from(vector('good.pem')).toString().replaceAll(/^/gm, '    ')
  assert.deepEqual(parseCertificates(Buffer.from(indented), { file }), good)
  const utf16 = Buffer.from(`\uFEFF${Buffer.from(vector('good.pem')).toString()}`, 'utf16le')
  assert.deepEqual(parseCertificates(utf16, { file }), good)
})

test('a block says on which line it begins', () => {
  const text = `text\n\n${writePem('A', new Uint8Array(3))}${writePem('B', new Uint8Array(3))}`
  assert.deepEqual(
    parsePem(text, { file }).map(({ label, line }) => [label, line]),
    [
      ['A', 3],
      ['B', 6],
    ],
  )
})

for (const [name, code, fact] of [
  ['07-empty.pem', 'PEM_EMPTY', 'file site.pem has 0 bytes'],
  ['15-truncated-base64.pem', 'PEM_BAD_BASE64', `on line ${lastContentLine}:`],
  ['15-stray-character.pem', 'PEM_BAD_BASE64', 'line 5 is not Base64'],
  ['15-cut-short.pem', 'PEM_DAMAGED', 'BEGIN on line 1 has no END; the file stops at line'],
  ['15-damaged-inside.pem', 'PEM_DAMAGED', 'OpenSSL cannot read its structure'],
] as const) {
  test(`${name} is refused with ${code}: ${fact}`, () => {
    const { code: actual, text } = refusal(() => parseCertificates(vector(name), { file }))
    assert.equal(actual, code)
    assert.ok(text.includes(fact), text)
  })
}

test('a key with a damaged line is refused without a word of its content', () => {
  const lines = Buffer.from(vector('good.key')).toString().split('\n')
  const content = lines[1] ?? ''
  const text = [lines[0], `?${content}`, ...lines.slice(2)].join('\n')
  const refused = refusal(() => parsePrivateKey(Buffer.from(text), { file }))
  assert.equal(refused.code, 'PEM_BAD_BASE64')
  for (let at = 0; at + 6 <= content.length; at++) assert.ok(!refused.text.includes(content.slice(at, at + 6)))
})

test('PEM that lost its line breaks is told from a file without PEM', () => {
  const text = Buffer.from(vector('good.pem')).toString().replaceAll('\n', '')
  const refused = refusal(() => parsePem(text, { file }))
  assert.equal(refused.code, 'PEM_DAMAGED')
  assert.match(refused.text, /line breaks are missing/)
  assert.match(refusal(() => parsePem('<html>', { file })).text, /no line reads/)
})

test('10 MiB of garbage are refused before anything is parsed', () => {
  const garbage = Buffer.alloc(10 * 1024 * 1024, '-----BEGIN CERTIFICATE-----\n')
  const before = process.memoryUsage().rss
  for (const read of [sniff, parseCertificates, parsePrivateKey]) {
    const { code, text } = refusal(() => read(garbage, { file }))
    assert.equal(code, 'INPUT_TOO_LARGE')
    assert.match(text, /10 MiB, limit 1 MiB/)
  }
  assert.equal(refusal(() => parsePem('x'.repeat(inputBytesMax + 1), { file })).code, 'INPUT_TOO_LARGE')
  assert.ok(process.memoryUsage().rss - before < 50 * 1024 * 1024)
})

test('a file of nothing but BEGIN lines, as large as the limit allows, ends with an error', () => {
  const text = '-----BEGIN A-----\nAAAA\n-----END A-----\n'.repeat(20_000)
  assert.equal(refusal(() => parseCertificates(Buffer.from(text), { file })).code, 'PEM_WRONG_KIND')
})

test('a file name with escape sequences is shown inert', () => {
  const { text } = refusal(() => parsePem('', { file: '\u001b]0;owned\u0007' }))
  assert.ok(!text.includes('\u001b') && !text.includes('\u0007'))
})
