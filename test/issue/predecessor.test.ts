import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Predecessor, replacesOf, type Successor } from '../../src/issue/predecessor.ts'

const predecessor: Predecessor = {
  certificateId: 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE',
  directory: 'https://ca.example/directory',
  account: 'https://ca.example/acct/1',
  names: ['www.example', 'shop.example'],
  replaced: false,
}
const order: Successor = {
  directory: 'https://ca.example/directory',
  account: 'https://ca.example/acct/1',
  names: ['www.example', 'new.example'],
  renewalInfo: 'https://ca.example/renewal-info',
}

test('an order at the same CA, for one name or more of its predecessor, says what it replaces', () => {
  assert.equal(replacesOf(predecessor, order), 'aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE')
})

const others: readonly { what: string; predecessor?: Partial<Predecessor> | null; order?: Partial<Successor> }[] = [
  { what: 'there is no predecessor', predecessor: null },
  { what: 'the predecessor is of another CA', predecessor: { directory: 'https://other.example/directory' } },
  { what: 'the account is another', order: { account: 'https://ca.example/acct/2' } },
  { what: 'it was replaced already', predecessor: { replaced: true } },
  { what: 'no name is the same', order: { names: ['new.example'] } },
]

for (const { what, predecessor: before = {}, order: now = {} } of others) {
  test(`${what}: the order names none`, () => {
    assert.equal(replacesOf(before && { ...predecessor, ...before }, { ...order, ...now }), null)
  })
}

test('the CA has no renewal information: the order names none', () => {
  const { renewalInfo: _, ...without } = order
  assert.equal(replacesOf(predecessor, without), null)
})
