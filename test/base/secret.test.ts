import assert from 'node:assert/strict'
import { Console } from 'node:console'
import { PassThrough } from 'node:stream'
import { test } from 'node:test'
import { format, inspect } from 'node:util'
import { deserialize, serialize } from 'node:v8'
import { Secret } from '../../src/base/secret.ts'

const canary = 'AGE-SECRET-KEY-1CANARY'
const secret = new Secret(canary)
const holder = { name: 'vault', inner: { secrets: [secret], map: new Map([[secret, secret]]), set: new Set([secret]) } }

/** Whatever writes to a console, captured. */
function consoleText(write: (console: Console) => void): string {
  const stream = new PassThrough()
  write(new Console({ stdout: stream, stderr: stream, colorMode: false }))
  return (stream.read() ?? '').toString()
}

function thrownText(act: () => void): string {
  try {
    act()
  } catch (thrown) {
    return `${thrown} ${inspect(thrown)}`
  }
  return assert.fail('nothing was thrown')
}

test('only reveal gives the value', () => {
  assert.equal(secret.reveal(), canary)
  const bytes = new Uint8Array([1, 2])
  assert.equal(new Secret(bytes).reveal(), bytes)
})

const printers: readonly (readonly [string, () => string])[] = [
  ['JSON', () => JSON.stringify(holder)],
  ['JSON of itself', () => JSON.stringify(secret)],
  ['a template string', () => `${secret}`],
  ['addition', () => `${String(secret)}${secret as unknown as string}`],
  ['a joined list', () => [secret, secret].join()],
  ['inspect', () => inspect(secret)],
  ['a deep inspect', () => inspect(holder, { depth: null })],
  ['inspect with hidden properties', () => inspect(holder, { depth: null, showHidden: true, getters: true })],
  ['an error that carries it', () => inspect(Object.assign(new Error('x', { cause: secret }), { secret }))],
  ['console.log', () => consoleText((out) => out.log(secret, holder))],
  ['console.error', () => consoleText((out) => out.error('%s %o %O %j', secret, secret, secret, secret))],
  ['format', () => format('%s %s', secret, [secret])],
]

for (const [where, print] of printers) {
  test(`${where} shows [secret] instead of the value`, () => {
    const text = print()
    assert.match(text, /\[secret\]/)
    assert.doesNotMatch(text, /CANARY/)
  })
}

const copies: readonly (readonly [string, () => unknown])[] = [
  ['inspect that passes over its own form', () => inspect(secret, { customInspect: false, showHidden: true })],
  ['console.dir', () => consoleText((out) => out.dir(holder, { depth: null, showHidden: true }))],
  ['console.table', () => consoleText((out) => out.table([holder.inner, { secret }]))],
  ['the failure of an assertion', () => thrownText(() => assert.deepEqual(secret, { value: 'x' }))],
  ['spreading', () => ({ ...secret })],
  ['its property names', () => [...Object.getOwnPropertyNames(secret), ...Object.keys(secret)]],
  ['its entries', () => Object.entries(secret)],
  ['a structured clone', () => structuredClone(holder.inner.secrets)],
  ['the bytes that a worker would get', () => Buffer.from(serialize(holder)).toString('latin1')],
  ['what a worker would read of them', () => deserialize(serialize(holder))],
]

for (const [what, copy] of copies) {
  test(`${what} does not hold the value`, () => {
    assert.doesNotMatch(inspect(copy(), { depth: null, showHidden: true }), /CANARY/)
  })
}
