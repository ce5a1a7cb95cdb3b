import assert from 'node:assert/strict'
import { test } from 'node:test'
import { printed, stackLine } from '../base/refusals.ts'
import { good, placeOf, problemsOf, spoilt } from './good.ts'

const soonMs = 5_000

/** The one problem of a text, which is found before anything can take long. */
function onlyProblemOf(text: string) {
  const startedMs = performance.now()
  const problems = problemsOf(text)
  assert.ok(performance.now() - startedMs < soonMs)
  assert.equal(problems.length, 1, problems.map(printed).join('\n'))
  const [problem] = problems
  assert.ok(problem)
  assert.doesNotMatch(printed(problem), stackLine)
  return problem
}

test('aliases are counted before they are resolved: 100 are read, one more is refused', () => {
  const aliases = (count: number) => spoilt('rollout: {', `x: &a 1\ny: [${'*a,'.repeat(count)}]\nrollout: {`)
  assert.ok(problemsOf(aliases(100)).every(({ code }) => code === 'CONFIG_UNKNOWN_KEY'))
  for (const count of [101, 20_000]) {
    const { code, message, failure } = onlyProblemOf(aliases(count))
    assert.deepEqual(
      [code, message, failure.fact],
      ['CONFIG_SYNTAX', 'aliases are used too often', 'at most 100 are resolved'],
    )
  }
})

test('aliases that stand for levels upon levels are refused', () => {
  const level = (at: number) => `a${at}: &a${at} ${'['.repeat(50)}${at === 0 ? 'x' : `*a${at - 1}`}${']'.repeat(50)}\n`
  const problem = onlyProblemOf(Array.from({ length: 100 }, (_, at) => level(at)).join(''))
  assert.match(printed(problem), /aliases are used too often.*or 64 levels/s)
})

for (const [what, text] of [
  ['list', '['],
  ['mapping', '{a: '],
  ['list of lines', '- '],
  ['key', '? '],
  ['pair in a list', '[a: '],
] as const) {
  test(`a ${what} within itself 20,000 times is refused at level 64`, () => {
    const { code, message, failure } = onlyProblemOf(text.repeat(20_000))
    assert.deepEqual([code, message, failure.fact], ['CONFIG_SYNTAX', 'nested too deep', 'at most 64 levels are read'])
    assert.match(failure.at ?? '', /^fleet\.yaml:1:\d{2,3}$/)
  })
}

test('an alias inside what it names is refused where it stands', () => {
  for (const written of ['&a [*a]', '&a { x: [*a] }']) {
    const text = spoilt('40%', written)
    const { code, message, failure } = onlyProblemOf(text)
    assert.deepEqual([code, message], ['CONFIG_SYNTAX', 'the alias *a lies inside what it names'])
    assert.equal(failure.at, placeOf(text, '*a'))
  }
})

test('what YAML says of a defect holds nothing of the file', () => {
  for (const line of ['secret: |hunter2canary', 'a: |\u009b31mcanary\tx', 'a: { b: 1 } "canary', 'a: [1] canary: 2']) {
    const problems = problemsOf(`version: 1\n${line}\n`)
    assert.ok(problems.length > 0)
    for (const { code, message } of problems) {
      assert.equal(code, 'CONFIG_SYNTAX')
      assert.doesNotMatch(message, /canary|[\u0080-\u009f\t]/)
    }
  }
})

test('twenty problems are shown, in the order of their lines, and the others counted', () => {
  const text = `${good}${Array.from({ length: 30 }, (_, at) => `x${at}: 1\n`).join('')}`
  const problems = problemsOf(text)
  assert.equal(problems.length, 21)
  assert.equal(problems[0]?.failure.at, placeOf(text, 'x0:'))
  assert.equal(problems[19]?.failure.at, placeOf(text, 'x19:'))
  assert.equal(problems[20]?.message, '10 more problems begin here')
  assert.equal(problems[20]?.failure.at, placeOf(text, 'x20:'))
})

test('thousands of problems are reported soon', () => {
  const sites = Array.from({ length: 5_000 }, (_, at) => `  s${at}.x.example: { certificate: c${at}, dns: [d${at}] }\n`)
  const startedMs = performance.now()
  assert.equal(problemsOf(good.replace('sites:\n', `sites:\n${sites.join('')}`)).length, 21)
  assert.ok(performance.now() - startedMs < 2 * soonMs)
})

for (const [what, found, replacement] of [
  ['the first one, in one line', '  www.domain.example: {', '  *.domain.example: {'],
  [
    'the first one, of lines',
    '  www.domain.example: {',
    '  *.domain.example:\n    certificate: www\n  x.domain.example: {',
  ],
  ['a later one', '"*.app.domain.example":', '*.domain.example:'],
] as const) {
  test(`a site without quotes, ${what}, is one problem: CONFIG_QUOTE_WILDCARD`, () => {
    const text = spoilt(found, replacement)
    const { code, failure } = onlyProblemOf(text)
    assert.equal(code, 'CONFIG_QUOTE_WILDCARD')
    assert.equal(failure.at, placeOf(text, '*.domain.example:'))
    assert.equal(failure.next, 'write "*.domain.example"')
  })
}

test('each site without quotes is told, and a defect before the first', () => {
  const codes = (text: string) => problemsOf(text).map(({ code }) => code)
  const text = spoilt('"*.app.domain.example":', '*.a.example: {}\n  *.b.example: {}\n  *.app.domain.example:')
  assert.deepEqual(codes(text), Array(3).fill('CONFIG_QUOTE_WILDCARD'))
  const both = text.replace('canary: 2', 'canary: @').replace('service: nginx', 'service: @nginx')
  assert.deepEqual(codes(both), ['CONFIG_SYNTAX', ...Array(3).fill('CONFIG_QUOTE_WILDCARD')])
})

for (const [written, tag] of [
  ['rollout: !x {', '!x'],
  ['rollout: !!js/function {', '!!js/function'],
  ['rollout: !!omap {', '!!omap'],
] as const) {
  test(`the tag ${tag} of a mapping is not allowed`, () => {
    const found = problemsOf(spoilt('rollout: {', written)).find(({ code }) => code === 'CONFIG_TAG_FORBIDDEN')
    assert.equal(found?.message, `the tag ${tag} is not allowed`)
  })
}

test('tags of lists and plain values are not allowed either; those of YAML itself are', () => {
  const text = spoilt('dns: [eu-1, us-1]', 'dns: !x [!y eu-1, us-1]').replace('apache', '!!js/function apache')
  assert.deepEqual(
    problemsOf(text).map(({ message }) => message),
    ['!!js/function', '!x', '!y'].map((tag) => `the tag ${tag} is not allowed`),
  )
  assert.deepEqual(problemsOf(spoilt('service: nginx', 'service: !!str nginx').replace('2222', '!!int 2222')), [])
})

for (const [section, found] of [
  ['issuers', '  boxed:'],
  ['certificates', '  api:'],
  ['servers', '  edge:'],
  ['sites', '  shop.domain.example:'],
] as const) {
  test(`__proto__ as an entry of ${section} is an error`, () => {
    const text = spoilt(found, '  __proto__:')
    const problem = problemsOf(text).find(({ failure }) => failure.at === placeOf(text, '__proto__'))
    assert.deepEqual([problem?.code, problem?.message], ['CONFIG_UNKNOWN_KEY', '"__proto__" cannot be a key or a name'])
  })
}

test('a key and its alias are the same key twice', () => {
  const text = spoilt('  eu-1:', '  &k eu-1:').replace('  other:', '  *k :')
  const [problem] = problemsOf(text).filter(({ code }) => code === 'CONFIG_DUPLICATE_KEY')
  assert.equal(problem?.failure.at, placeOf(text, '*k'))
  assert.match(problem?.failure.fact ?? '', /line 18/)
})

test('a mapping or a list as a key is an error, and no warning of the process', async () => {
  const warnings: Error[] = []
  const onWarning = (warning: Error) => void warnings.push(warning)
  process.on('warning', onWarning)
  for (const key of ['{ a: 1 }: 2', '? [x]\n: 3', '[x]: 4']) {
    const problems = problemsOf(`${good}${key}\n`)
    assert.deepEqual(
      problems.map(({ code, message }) => [code, message]),
      [['CONFIG_SYNTAX', 'a mapping or list cannot be a key']],
    )
  }
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', onWarning)
  assert.deepEqual(warnings, [])
})

test('a directive that is not known here is an error', () => {
  assert.match(onlyProblemOf(`%YAML 1.9\n---\n${good}`).message, /Unsupported YAML version 1\.9/)
})

test('lines that end with CR alone are told as that', () => {
  for (const text of [good.replaceAll('\n', '\r'), '# comment\r# comment\r', spoilt('canary: 2,', 'canary: 2,\r')]) {
    const { code, message, failure } = onlyProblemOf(text)
    assert.deepEqual([code, message], ['CONFIG_SYNTAX', 'a carriage return (CR) without a line feed (LF)'])
    assert.equal(failure.next, 'save the file with line ends of Unix')
  }
})

test('a long line is shown around the place, with the caret under it', () => {
  const text = spoilt('dns: [eu-1, us-1]', `dns: [eu-1, ${' '.repeat(300)}nowhere, ${' '.repeat(300)}us-1]`)
  const [problem] = problemsOf(text)
  const [shown = '', caret = ''] = (problem?.failure.excerpt ?? '').split('\n')
  assert.ok(shown.startsWith('…') && shown.endsWith('…') && shown.length <= 102)
  assert.equal(shown.slice(caret.indexOf('^')).slice(0, 7), 'nowhere')
})

test('the caret stands under the place where characters before it are escaped', () => {
  const [, second] = problemsOf(spoilt('{ canary: 2,', '{ "\u200b": 1, canary: x,'))
  const [shown = '', caret = ''] = (second?.failure.excerpt ?? '').split('\n')
  assert.equal(shown[caret.indexOf('^')], 'x')
})

const base64 = 'MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg1canary2CANARY3x'

for (const [what, line] of [
  ['the header of a key', '    -----BEGIN EC PRIVATE KEY-----: x'],
  ['a line of a key', `    - ${base64}`],
  ['a short line of a key', `    "${base64.slice(30)}=="`],
  ['a key in one line', `    pem: "${base64}"`],
  ['a password', '    password: x'],
] as const) {
  test(`${what} is not shown`, () => {
    const problems = problemsOf(spoilt('    location: frankfurt', line))
    assert.ok(problems.some(({ failure }) => failure.excerpt === '(a line that may hold a secret is not shown)'))
  })
}

test('a line that only speaks of a private key, or holds a fingerprint, is shown', () => {
  const text = spoilt('keep-for: 180d }', 'keep-for: x } # a renewal moves no private key')
  assert.match(problemsOf(text)[0]?.failure.excerpt ?? '', /moves no private key/)
  const fingerprint = spoilt('host-key: "SHA256:', 'host-kez: "SHA256:')
  assert.match(problemsOf(fingerprint)[0]?.failure.excerpt ?? '', /SHA256:AbCd/)
})
