import assert from 'node:assert/strict'
import { test } from 'node:test'
import { table } from '../../src/cli/table.ts'

const header = ['SERVER', 'ENDPOINT', 'VERDICT', '']
const rows = [
  ['web-1', '192.0.2.11:443', 'proven', ''],
  ['(balancer)', '192.0.2.5:443', 'proven', 'sample of 8: 8 × 0f3ab210'],
]

test('for a pipe each row is one line', () => {
  assert.deepEqual(table(header, rows), [
    'SERVER      ENDPOINT        VERDICT',
    'web-1       192.0.2.11:443  proven',
    '(balancer)  192.0.2.5:443   proven   sample of 8: 8 × 0f3ab210',
  ])
})

test('on a terminal that is too narrow the remark stands below its line', () => {
  assert.deepEqual(table(header, rows, 40), [
    'SERVER      ENDPOINT        VERDICT',
    'web-1       192.0.2.11:443  proven',
    '(balancer)  192.0.2.5:443   proven',
    '  sample of 8: 8 × 0f3ab210',
  ])
})

test('where the columns themselves are too wide, they come closer', () => {
  assert.deepEqual(table(header, rows, 34).slice(0, 2), [
    'SERVER     ENDPOINT       VERDICT',
    'web-1      192.0.2.11:443 proven',
  ])
})
