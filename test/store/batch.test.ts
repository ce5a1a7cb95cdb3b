import assert from 'node:assert/strict'
import { test } from 'node:test'
import { batched } from '../../src/store/batch.ts'

test('what is asked for in one turn is written in one go, and each gets its own result', async () => {
  const batches: number[][] = []
  const write = batched<number, string>((items) => {
    batches.push([...items])
    return items.map((item) => `wrote ${item}`)
  })
  assert.deepEqual(await Promise.all([1, 2, 3].map(write)), ['wrote 1', 'wrote 2', 'wrote 3'])
  assert.equal(await write(4), 'wrote 4')
  assert.deepEqual(batches, [[1, 2, 3], [4]])
})

test('a write that fails rejects all that were in it, and none after it', async () => {
  let fails = true
  const write = batched<number, number>((items) => {
    if (fails) throw new Error('no disk')
    return [...items]
  })
  const outcomes = await Promise.allSettled([write(1), write(2)])
  assert.deepEqual(
    outcomes.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  fails = false
  assert.equal(await write(3), 3)
})

test('nothing resolves before it is written', async () => {
  const { promise: disk, resolve: flushed } = Promise.withResolvers<void>()
  const write = batched<number, number>(async (items) => {
    await disk
    return [...items]
  })
  let resolved = false
  const writing = write(1).then(() => {
    resolved = true
  })
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
  assert.equal(resolved, false)
  flushed()
  await writing
  assert.equal(resolved, true)
})
