import assert from 'node:assert/strict'
import { test } from 'node:test'
import { judgeCaa } from '../../src/audit/caa.ts'

const issuer = { name: 'lab', identities: ['ca.example'], standsIn: false }
const judged = (name: string, ...records: readonly (readonly [tag: string, value: string])[]) =>
  judgeCaa('www', name, issuer, {
    at: 'domain.example',
    records: records.map(([tag, value]) => ({ critical: false, tag, value })),
  })

test('no record, and one that names the CA: nothing', () => {
  assert.deepEqual(judged('www.domain.example'), [])
  assert.deepEqual(judged('www.domain.example', ['issue', 'another.example'], ['issue', 'ca.example']), [])
})

test('a record that names another CA forbids, and the repair names ours', () => {
  const [found, ...rest] = judged('www.domain.example', ['issue', 'another.example'])
  assert.deepEqual(
    [found?.reason, found?.site, found?.place, rest],
    ['caa-forbids', 'www.domain.example', 'lab domain.example', []],
  )
  assert.equal(found?.repair, 'add a record such as: domain.example CAA 0 issue "ca.example"')
})

test('a CA that stands in for another one does not make the next renewal fail', () => {
  const facts = { at: 'domain.example', records: [{ critical: false, tag: 'issue', value: 'another.example' }] }
  const whats = [false, true].map(
    (standsIn) => judgeCaa('www', 'www.domain.example', { ...issuer, standsIn }, facts)[0]?.what,
  )
  assert.match(whats[0] ?? '', /: the next renewal fails$/)
  assert.match(whats[1] ?? '', /: it cannot take over from the CA before it$/)
})

test('a wildcard has a record of its own', () => {
  const records = [
    ['issue', 'ca.example'],
    ['issuewild', ';'],
  ] as const
  assert.deepEqual(judged('www.domain.example', ...records), [])
  const [found] = judged('*.domain.example', ...records)
  assert.match(found?.repair ?? '', /CAA 0 issuewild "ca\.example"$/)
})
