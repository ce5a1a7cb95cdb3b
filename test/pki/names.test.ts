import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { OnecertError } from '../../src/base/errors.ts'
import { covers, displayName, isAddress, parseHostName, requirePublicName } from '../../src/pki/names.ts'
import { refusal } from './vectors.ts'

for (const [given, name] of [
  ['www.example.com', 'www.example.com'],
  ['WWW.Example.COM', 'www.example.com'],
  ['*.example.com', '*.example.com'],
  ['localhost', 'localhost'],
  ['bücher.example', 'xn--bcher-kva.example'],
  ['XN--BCHER-KVA.example', 'xn--bcher-kva.example'],
  ['*.bücher.example', '*.xn--bcher-kva.example'],
  ['пример.example', 'xn--e1afmkfd.example'],
  ['東京タワーabc.example', 'xn--abc-tl4bpjwc921zmo2b.example'],
  ['1.2.3.4.example', '1.2.3.4.example'],
  [`${'a'.repeat(63)}.example`, `${'a'.repeat(63)}.example`],
] as const) {
  test(`${given} is the host name ${name}`, () => {
    assert.equal(parseHostName(given), name)
  })
}

for (const [given, code, fact] of [
  ['', 'NAME_INVALID', 'it is empty'],
  ['www.exa_mple.com', 'NAME_INVALID', 'label 2 "exa_mple": underscore is not allowed'],
  ['*.exa_mple.com', 'NAME_INVALID', 'label 2 "exa_mple"'],
  ['-www.example.com', 'NAME_INVALID', 'label 1 "-www": a label neither begins nor ends with "-"'],
  ['www-.example.com', 'NAME_INVALID', 'neither begins nor ends'],
  ['www..example.com', 'NAME_INVALID', 'label 2 is empty'],
  ['.example.com', 'NAME_INVALID', 'label 1 is empty'],
  ['example.com.', 'NAME_INVALID', 'write example.com'],
  [`${'a'.repeat(64)}.com`, 'NAME_INVALID', '64 characters, limit 63'],
  [`${'abc.'.repeat(63)}ab`, 'NAME_INVALID', '254 characters, limit 253'],
  [`${'ü'.repeat(60)}.${'ü'.repeat(60)}.example`, 'NAME_INVALID', 'limit 63'],
  ['192.0.2.1', 'NAME_INVALID', 'it is an IP address'],
  ['2001:db8::1', 'NAME_INVALID', 'it is an IP address'],
  ['0x7f.1', 'NAME_INVALID', 'its last label is a number'],
  ['www.0x7f', 'NAME_INVALID', 'its last label is a number'],
  ['１２７.0.0.1', 'NAME_INVALID', 'its last label is a number'],
  ['ex%61mple.com', 'NAME_INVALID', '"%" is not allowed'],
  ['example.com/path', 'NAME_INVALID', '"/" is not allowed'],
  ['user@example.com', 'NAME_INVALID', '"@" is not allowed'],
  ['exa mple.com', 'NAME_INVALID', '" " is not allowed'],
  ['exam\u00adple.com', 'NAME_INVALID', 'invisible character "\\\\xad"'],
  ['exam\u200bple.com', 'NAME_INVALID', 'invisible character'],
  ['ab--cd.com', 'NAME_INVALID', 'reserved for A-labels'],
  ['xn--a.com', 'NAME_INVALID', 'reserved for A-labels'],
  ['$(reboot).com', 'NAME_INVALID', '"$" is not allowed'],
  ['--help', 'NAME_INVALID', 'neither begins nor ends'],
  ['https://example.com', 'NAME_HAS_SCHEME', 'write only the name: example.com'],
  ['https://user:pw@example.com:8443/a?b', 'NAME_HAS_SCHEME', 'write only the name: example.com'],
  ['example.com:443', 'NAME_HAS_PORT', 'write only the name: example.com'],
  ['*', 'NAME_BAD_WILDCARD', 'at least two labels'],
  ['*.com', 'NAME_BAD_WILDCARD', 'at least two labels'],
  ['*.*.example.com', 'NAME_BAD_WILDCARD', 'only one wildcard'],
  ['foo.*.com', 'NAME_BAD_WILDCARD', 'whole first label'],
  ['w*.example.com', 'NAME_BAD_WILDCARD', 'whole first label'],
  ['exаmple.com', 'NAME_MIXED_SCRIPT', 'Latin, Cyrillic; its A-label form is xn--exmple-4nf.com'],
  ['xn--exmple-4nf.com', 'NAME_MIXED_SCRIPT', 'Latin, Cyrillic'],
  [
    'exаmple.com',
    'NAME_MIXED_SCRIPT',
    'type the name again by hand, in one writing system; a name that mixes them cannot be used',
  ],
] as const) {
  test(`${JSON.stringify(given)} is refused: ${code}, ${fact}`, () => {
    const { code: actual, text } = refusal(() => parseHostName(given))
    assert.equal(actual, code)
    assert.ok(text.includes(fact), text)
  })
}

test('a password in a URL given as name is not part of the advice', () => {
  const { text } = refusal(() => parseHostName('https://user:hunter2@example.com'))
  assert.match(text, /write only the name: example\.com/)
})

test('a mixed-script name is accepted once a person has confirmed it', () => {
  assert.equal(parseHostName('exаmple.com', { confirmIdn: true }), 'xn--exmple-4nf.com')
})

test('a name with two forms is shown in both', () => {
  assert.equal(displayName(parseHostName('bücher.example')), 'bücher.example (xn--bcher-kva.example)')
  assert.equal(displayName('*.xn--bcher-kva.example'), '*.bücher.example (*.xn--bcher-kva.example)')
  assert.equal(displayName('www.example.com'), 'www.example.com')
})

test('any text is either a host name, which is read again as itself, or refused with a code', () => {
  const piece = fc.constantFrom(
    'a',
    '-',
    '.',
    '*',
    '_',
    'xn--',
    'ü',
    'а',
    '1',
    ':',
    '//',
    '%',
    '\u200d',
    '。',
    'ß',
    '€',
    '\ud800',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(piece).map((parts) => parts.join('')),
    fc.domain(),
  )
  fc.assert(
    fc.property(text, (given) => {
      try {
        const name = parseHostName(given)
        assert.match(name, /^(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*$/)
        assert.equal(parseHostName(name), name)
      } catch (thrown) {
        if (!(thrown instanceof OnecertError)) throw thrown
      }
    }),
    { numRuns: 600 },
  )
})

for (const [name, fact] of [
  ['localhost', 'localhost'],
  ['printer.local', 'local'],
  ['db.internal', 'internal'],
  ['intranet', 'only one label'],
  ['10.0.0.5', 'private address'],
  ['192.168.1.1', 'private address'],
  ['172.20.0.1', 'private address'],
  ['127.0.0.1', 'private address'],
  ['::1', 'private address'],
  ['fd00::1', 'private address'],
  ['fe80::1', 'private address'],
] as const) {
  test(`no public CA issues for ${name}: ${fact}`, () => {
    const { code, text } = refusal(() => requirePublicName(name))
    assert.equal(code, 'NAME_NOT_PUBLIC')
    assert.ok(text.includes(fact), text)
  })
}

test('registered names and public addresses are public', () => {
  for (const name of ['www.domain.com', '*.domain.com', '8.8.8.8', '2606:4700::1111', '172.32.0.1', 'locals.com']) {
    assert.equal(refusal(() => requirePublicName(name)).code, 'accepted')
  }
})

test('addresses are told from names', () => {
  const addresses = ['1.2.3.4', '::', '::ffff:1.2.3.4', '2001:db8::1', '1.2.3.256', '1.2.3', 'abc', ':::', 'a:b']
  assert.deepEqual(addresses.filter(isAddress), addresses.slice(0, 4))
})

for (const [names, wanted, covered] of [
  [['www.example.com'], 'www.example.com', true],
  [['www.example.com'], 'WWW.EXAMPLE.com', true],
  [['example.com'], 'www.example.com', false],
  [['*.example.com'], 'www.example.com', true],
  [['*.example.com'], 'example.com', false],
  [['*.example.com'], 'a.b.example.com', false],
  [['*.example.com'], '.example.com', false],
  [['*.example.com'], '*.example.com', true],
  [['www.example.com'], '*.example.com', false],
  [['*.b.example.com'], '*.example.com', false],
  [['*.com'], 'example.com', false],
  [['*'], 'example.com', false],
  [['w*.example.com'], 'www.example.com', false],
  [['*.*.example.com'], 'a.b.example.com', false],
  [['*.0.2.1'], '192.0.2.1', false],
  [['a.example.com', '*.example.com'], 'b.example.com', true],
  [[], 'example.com', false],
] as const) {
  test(`${names.join(' and ') || 'nothing'} ${covered ? 'covers' : 'does not cover'} ${wanted}`, () => {
    assert.equal(covers(names, wanted), covered)
  })
}
