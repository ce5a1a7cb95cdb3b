import assert from 'node:assert/strict'
import { test } from 'node:test'
import { linesOf } from '../../src/base/lines.ts'

async function* pieces(text: string, size: number): AsyncGenerator<Uint8Array> {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function read(text: string, size: number, bytesMax = 100) {
  const found = []
  for await (const { bytes, ...line } of linesOf(pieces(text, size), bytesMax))
    found.push({ ...line, text: bytes.toString() })
  return found
}

test('lines are the same however the bytes come', async () => {
  const text = 'one\n\ntwö three\r\nlast'
  const whole = await read(text, 1_000)
  assert.deepEqual(
    whole.map((line) => [line.number, line.text, line.ended, line.offset]),
    [
      [1, 'one', true, 4],
      [2, '', true, 5],
      [3, 'twö three\r', true, 17],
      [4, 'last', false, 21],
    ],
  )
  for (let size = 1; size < 22; size++) assert.deepEqual(await read(text, size), whole)
  assert.deepEqual(await read('', 5), [])
})

test('of a line that is too long the begin is told, and the next one is whole', async () => {
  for (const size of [1, 7, 5_000]) {
    const found = await read(`${'x'.repeat(3_000)}\nafter\n${'y'.repeat(11)}`, size, 10)
    assert.deepEqual(
      found.map(({ number, text, cut, offset }) => [number, text, cut, offset]),
      [
        [1, 'xxxxxxxxxx', true, 3_001],
        [2, 'after', false, 3_007],
        [3, 'yyyyyyyyyy', true, 3_018],
      ],
    )
  }
})
